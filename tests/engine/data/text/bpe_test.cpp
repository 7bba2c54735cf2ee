// GPT-2's byte pairs: ids that tiktoken recorded, a plain implementation on small vocabularies, and damaged files.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>

#include "engine/data/text/tokenize.h"
#include "engine/data/text/tokenizer.h"
#include "engine/run/files.h"
#include "engine/run/json.h"
#include "engine/run/utf8.h"
#include "kernels/check.h"
#include "tests/real_data.h"
#include "tests/source_path.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

using Ids = std::vector<int32_t>;
using Random = std::mt19937_64;

// A vocabulary of bytes and random merges of a, b and c, written as GPT-2's files are.
struct SmallVocabulary {
  TemporaryFolder folder;
  std::vector<std::pair<std::string, std::string>> merges;
  std::map<std::string, int32_t> ids;

  explicit SmallVocabulary(int count, uint64_t seed = 1) {
    int32_t next = 0;
    char32_t shifted = 0x100;
    Json encoder;
    for (char32_t b = 0; b < 256; ++b) {
      std::string symbol;
      append_utf8(symbol, (b >= 33 && b <= 126) || (b >= 161 && b != 173) ? b : shifted++);
      encoder[symbol] = next++;
    }
    for (const char* letter : {"a", "b", "c"}) ids[letter] = encoder[letter].get<int>();
    Random random(seed);
    std::vector<std::string> symbols = {"a", "b", "c"};
    std::string lines = "#version: 0.2\n";
    while (static_cast<int>(merges.size()) < count) {
      const std::string left = symbols[random() % symbols.size()], right = symbols[random() % symbols.size()];
      if (ids.count(left + right)) continue;
      merges.emplace_back(left, right);
      symbols.push_back(left + right);
      encoder[left + right] = ids[left + right] = next++;
      lines += left + " " + right + "\n";
    }
    encoder["<|endoftext|>"] = next;
    write(encoder, lines);
  }

  void write(const Json& encoder, const std::string& lines) {
    write_file_atomically(folder / "encoder.json", encoder.dump());
    write_file_atomically(folder / "vocab.bpe", lines);
  }

  // As the paper says it: the best-ranked pair, everywhere, from left to right, until there is none.
  Ids encode_plainly(const std::string& word) const {
    std::vector<std::string> symbols;
    for (char c : word) symbols.emplace_back(1, c);
    for (;;) {
      size_t best = merges.size();
      for (size_t i = 0; i + 1 < symbols.size(); ++i)
        for (size_t m = 0; m < best; ++m)
          if (merges[m] == std::pair(symbols[i], symbols[i + 1])) best = m;
      if (best == merges.size()) break;
      std::vector<std::string> merged;
      for (size_t i = 0; i < symbols.size(); ++i) {
        const bool both = i + 1 < symbols.size() && merges[best] == std::pair(symbols[i], symbols[i + 1]);
        merged.push_back(both ? symbols[i] + symbols[i + 1] : symbols[i]);
        if (both) ++i;
      }
      symbols = merged;
    }
    Ids result;
    for (const std::string& symbol : symbols) result.push_back(ids.at(symbol));
    return result;
  }
};

std::string random_word(Random& random, int most, int letters = 3) {
  std::string word;
  for (int i = 1 + static_cast<int>(random() % most); i > 0; --i) word += static_cast<char>('a' + random() % letters);
  return word;
}

TEST_CASE("byte pairs merge as a plain implementation does") {
  for (uint64_t seed : {1, 2, 3}) {
    const SmallVocabulary vocabulary(40, seed);
    const auto tokenizer = gpt2_tokenizer(vocabulary.folder.path());
    CHECK(tokenizer->vocabulary() == 256 + 40 + 1);
    Random random(seed);
    for (int i = 0; i < 200; ++i) {
      const std::string word = random_word(random, i < 150 ? 12 : 150, 1 + i % 3);
      CAPTURE(word);
      CHECK(tokenizer->encode(word) == vocabulary.encode_plainly(word));
    }
  }
}

TEST_CASE("byte pairs meet a word again as they met it first") {
  const SmallVocabulary vocabulary(40);
  const auto tokenizer = gpt2_tokenizer(vocabulary.folder.path());
  Random random(4);
  std::string text;
  Ids expected;
  for (int i = 0; i < 3000; ++i) {
    const std::string word = random_word(random, 7);
    const Ids ids = vocabulary.encode_plainly(word);
    text += word + "\n";
    expected.insert(expected.end(), ids.begin(), ids.end());
    expected.push_back(tokenizer->encode("\n")[0]);
  }
  CHECK(tokenizer->encode(text) == expected);
}

TEST_CASE("the end-of-text token is special on request only") {
  const SmallVocabulary vocabulary(10);
  const auto plain = gpt2_tokenizer(vocabulary.folder.path());
  const auto special = gpt2_tokenizer(vocabulary.folder.path(), true);
  const std::string text = "ab<|endoftext|><|endoftext|>\n<|endoftext|";
  const int32_t id = 266;
  CHECK(special->end_of_text() == id);
  CHECK(plain->end_of_text() == id);
  Ids expected = special->encode("ab");
  for (const Ids& part : {Ids{id, id}, special->encode("\n<|endoftext|")})
    expected.insert(expected.end(), part.begin(), part.end());
  CHECK(special->encode(text) == expected);
  const Ids ordinary = plain->encode(text);
  CHECK(std::count(ordinary.begin(), ordinary.end(), id) == 0);
  CHECK(plain->decode(ordinary) == text);
  CHECK(special->decode(special->encode(text)) == text);
}

TEST_CASE("byte pairs decode to what was encoded") {
  const SmallVocabulary vocabulary(30);
  const auto tokenizer = gpt2_tokenizer(vocabulary.folder.path());
  Random random(5);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (int n = static_cast<int>(random() % 40); n > 0; --n) {
      const char32_t limit = random() % 2 ? 0x80 : random() % 2 ? 0x3000 : 0x110000;
      const char32_t c = static_cast<char32_t>(random() % limit);
      append_utf8(text, c >= 0xd800 && c < 0xe000 ? U'\n' : c);
    }
    CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
    // Any bytes at all: as if they had been repaired before.
    std::string bytes = text;
    for (char& byte : bytes)
      if (random() % 8 == 0) byte = static_cast<char>(random());
    CHECK(tokenizer->decode(tokenizer->encode(bytes)) == repair_utf8(bytes));
  }
  CHECK_THROWS_AS(tokenizer->decode(Ids{287}), Error);
  CHECK_THROWS_AS(tokenizer->decode(Ids{-1}), Error);
}

TEST_CASE("a safe cut changes no token") {
  const SmallVocabulary vocabulary(40);
  const auto tokenizer = gpt2_tokenizer(vocabulary.folder.path());
  Random random(6);
  const std::vector<std::string> pieces = {"a",    "ab", "\n", "\n",       "\n\n", " ",           "'s",
                                           "\r\n", "\t", "1",  "\xc3\xa9", "!",    "\xe2\x80\xa8"};
  int cuts = 0;
  for (int i = 0; i < 500; ++i) {
    std::string text;
    for (int n = 40; n > 0; --n) text += pieces[random() % pieces.size()];
    const Ids whole = tokenizer->encode(text);
    Ids joined;
    for (std::string_view rest = text; !rest.empty(); ++cuts) {
      const size_t cut = safe_cut(rest, random() % 10);
      REQUIRE(cut > 0);
      const Ids part = tokenizer->encode(rest.substr(0, cut));
      joined.insert(joined.end(), part.begin(), part.end());
      rest.remove_prefix(cut);
    }
    CHECK(joined == whole);
  }
  CHECK(cuts > 500 + 300);  // of 500 texts, so that many were cut
}

TEST_CASE("damaged byte-pair files are refused") {
  SmallVocabulary vocabulary(5);
  const std::string folder = vocabulary.folder.path();
  const Json encoder = parse_json("test", read_text(vocabulary.folder / "encoder.json"));
  const std::string lines = read_text(vocabulary.folder / "vocab.bpe");
  const std::string record = gpt2_tokenizer(folder)->record();
  CHECK(tokenizer_from_record(record)->record() == record);
  const auto refuses = [&](const Json& ids, const std::string& merges) {
    vocabulary.write(ids, merges);
    CHECK_THROWS_AS(gpt2_tokenizer(folder), Error);
  };
  Json damaged = encoder;
  refuses(damaged = 7, lines);
  for (const char* opening : {"[", "{\"a\":"}) {  // as deep as a stack is not
    std::string deep = "{\"a\":";
    for (int depth = 0; depth < 300'000; ++depth) deep += opening;
    write_file_atomically(folder + "/encoder.json", deep);
    CHECK_THROWS_WITH_AS(gpt2_tokenizer(folder), doctest::Contains("expected a JSON object of token: id"), Error);
  }
  refuses(damaged = Json::object(), lines);
  write_file_atomically(vocabulary.folder / "encoder.json", "{\"a\":" + std::string(1'000'000, '['));
  CHECK_THROWS_AS(gpt2_tokenizer(folder), Error);
  CHECK_THROWS_AS(tokenizer_from_record(std::string(1'000'000, '[')), Error);
  (damaged = encoder)["a"] = encoder["b"];
  refuses(damaged, lines);
  (damaged = encoder)["a"] = 100000;
  refuses(damaged, lines);
  (damaged = encoder)["a"] = -1;
  refuses(damaged, lines);
  (damaged = encoder)["a"] = "0";
  refuses(damaged, lines);
  (damaged = encoder)["\xe6\x97\xa5"] = encoder.size();  // 日 stands for no byte
  refuses(damaged, lines);
  (damaged = encoder)["new"] = encoder["!"];  // the byte '!' has no token
  damaged.erase("!");
  refuses(damaged, lines);
  refuses(encoder, lines + "a zz\n");
  refuses(encoder, lines + "abc\n");
  refuses(encoder, lines + "a b c\n");

  vocabulary.write(encoder, lines.substr(0, lines.rfind('\n', lines.size() - 2) + 1));  // sound, but not the same
  CHECK_NOTHROW(gpt2_tokenizer(folder));
  CHECK_THROWS_AS(tokenizer_from_record(record), Error);
  (damaged = encoder).erase("<|endoftext|>");
  vocabulary.write(damaged, lines);
  CHECK_NOTHROW(gpt2_tokenizer(folder));
  CHECK_THROWS_AS(gpt2_tokenizer(folder, true), Error);
  CHECK_THROWS_AS(gpt2_tokenizer(folder + "/none"), Error);
}

// tests/golden/bpe.py made the records; its --compare has this test read many more.
TEST_CASE("gpt2 ids equal recorded ids") {
  const std::string folder = find_data("gpt2-bpe");
  if (folder.empty()) return;
  const auto tokenizer = gpt2_tokenizer(folder);
  const char* other = std::getenv("GESTALT_BPE_IDS");
  std::ifstream file(other ? other : source_path("tests/golden/bpe.jsonl"));
  int records = 0;
  for (std::string line; std::getline(file, line); ++records) {
    const auto record = parse_json("test", line);
    std::string text;
    Ids expected;
    if (record.contains("text")) {
      text = record["text"].text();
      expected = record["ids"].get<Ids>();
    } else {
      for (int i = 0; i < record["times"].get<int>(); ++i) text += record["unit"].text();
      for (const Json& run : record["runs"])
        expected.insert(expected.end(), run[1].get<size_t>(), run[0].get<int32_t>());
    }
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = tokenizer->encode(text);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const bool equal = ids == expected && tokenizer->decode(ids) == text;
    CHECK_MESSAGE(equal, line.substr(0, 300));
    CHECK(seconds < 1 + 1e-5 * static_cast<double>(text.size()));  // a quadratic merge takes minutes on the long words
  }
  CHECK(records > 0);
  CHECK(tokenizer->end_of_text() == 50256);
  CHECK(tokenizer->vocabulary() == 50257);
}

TEST_CASE("gpt2 counts of Tiny Shakespeare") {
  const std::string folder = find_data("gpt2-bpe"), text_path = find_data("text/tinyshakespeare.txt");
  if (folder.empty() || text_path.empty()) return;
  TemporaryFolder out;
  const TokenizedText result = tokenize_file(text_path, out.path(), {.tokenizer = {.kind = "gpt2", .bpe = folder}});
  CHECK(result.training.tokens == 301966);
  CHECK(result.validation.tokens == 36059);
  CHECK(result.training.text_bytes == 1003854);
}

}  // namespace
}  // namespace gestalt::test
