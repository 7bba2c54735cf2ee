// Token files, sound and damaged; batches drawn from them; and tokenizing a text file.
#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "engine/data/text/token_batches.h"
#include "engine/data/text/tokenize.h"
#include "engine/run/files.h"
#include "engine/run/utf8.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

using Ids = std::vector<int32_t>;

std::string reason(const std::string& path) {
  try {
    TokenFile file(path);
  } catch (const Error& error) { return error.what(); }
  return "";
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Ids read_all(const TokenFile& file) {
  Ids ids(file.count());
  file.read(0, ids);
  return ids;
}

// Ids 0, 1, 2, … modulo 256.
std::shared_ptr<const TokenFile> counting_file(const std::string& path, int64_t count) {
  TokenFileWriter writer(path, *byte_tokenizer());
  Ids ids(count);
  for (int64_t i = 0; i < count; ++i) ids[i] = static_cast<int32_t>(i % 256);
  writer.append(ids);
  writer.commit(count);
  return std::make_shared<TokenFile>(path);
}

// Without the syncs that make hundreds of small files slow.
void overwrite(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

Ids values(const Tensor& t) { return {t.data<int32_t>(), t.data<int32_t>() + t.count()}; }

TEST_CASE("token files give back what was written") {
  TemporaryFolder folder;
  std::string many;  // more characters than 16 bits hold
  for (char32_t c = 0x10000; c < 0x10000 + 70000; ++c) append_utf8(many, c);
  for (const auto& tokenizer : {byte_tokenizer(), character_tokenizer(many)}) {
    const std::string path = folder / tokenizer->name();
    const int32_t last = static_cast<int32_t>(tokenizer->vocabulary() - 1);
    const Ids ids = {0, last, 1, last - 1, 7};
    TokenFileWriter writer(path, *tokenizer);
    CHECK_THROWS_AS(writer.append(Ids{last + 1}), Error);
    CHECK_THROWS_AS(writer.append(Ids{-1}), Error);
    writer.append(std::span(ids).first(2));
    writer.append({});
    writer.append(std::span(ids).last(3));
    CHECK(!std::filesystem::exists(path));
    writer.commit(123);

    const TokenFile file(path);
    CHECK(file.count() == 5);
    CHECK(file.vocabulary() == last + 1);
    CHECK(file.text_bytes() == 123);
    CHECK(read_all(file) == ids);
    CHECK(tokenizer_from_record(file.tokenizer())->record() == tokenizer->record());
    Ids two(2);
    file.read(3, two);
    CHECK(two == Ids{last - 1, 7});
    CHECK_THROWS_AS(file.read(4, two), Error);
    CHECK_THROWS_AS(file.read(-1, two), Error);
    CHECK_THROWS_AS(file.read(INT64_MAX, two), Error);
  }
}

TEST_CASE("a token file without commit leaves nothing") {
  TemporaryFolder folder;
  { TokenFileWriter(folder / "tokens", *byte_tokenizer()).append(Ids{1, 2, 3}); }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("damaged token files are refused") {
  TemporaryFolder folder;
  const std::string path = folder / "tokens";
  const int64_t count = counting_file(path, 10)->count();
  const std::string sound = read_text(path);
  const size_t body = 16 + 2 * count;
  for (size_t length = 0; length < sound.size(); ++length) {
    overwrite(path, sound.substr(0, length));
    CAPTURE(length);
    CHECK(mentions(reason(path), length ? "damaged token file '" + path : path));
  }
  for (size_t at = 0; at < sound.size(); ++at) {
    if (at == 16) at = body;  // ids are checked when they are read
    std::string bytes = sound;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    overwrite(path, bytes);
    CAPTURE(at);
    CHECK(mentions(reason(path), "damaged token file '" + path));
  }
  overwrite(path, sound + '\0');
  CHECK(mentions(reason(path), "damaged token file"));

  std::string bytes = sound;
  bytes[16 + 2 * 4 + 1] = 1;  // the fifth id is now 260
  overwrite(path, bytes);
  const TokenFile file(path);
  Ids four(4), five(5);
  CHECK_NOTHROW(file.read(0, four));
  CHECK_THROWS_WITH_AS(file.read(0, five), doctest::Contains("damaged token file"), Error);
}

TEST_CASE("token files made to mislead are refused") {
  TemporaryFolder folder;
  const std::string path = folder / "tokens";
  counting_file(path, 10);
  const std::string sound = read_text(path);
  const size_t trailer = sound.size() - 64;
  // Overwrites a field of the trailer and makes its checksum right again.
  const auto forged = [&](size_t offset, auto value) {
    std::string bytes = sound;
    std::memcpy(&bytes[trailer + offset], &value, sizeof value);
    const uint32_t crc = static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(&bytes[trailer]), 60));
    std::memcpy(&bytes[trailer + 60], &crc, 4);
    overwrite(path, bytes);
    return reason(path);
  };
  constexpr size_t count = 0, text_bytes = 8, vocabulary = 16, record_bytes = 24, id_bytes = 32;
  CHECK(forged(count, uint64_t{10}).empty());
  for (uint64_t n : {uint64_t{9}, uint64_t{11}, (uint64_t{1} << 63) + 10, UINT64_MAX, uint64_t{1} << 62})
    CHECK(mentions(forged(count, n), "damaged token file"));
  for (uint64_t n : {uint64_t{0}, UINT64_MAX, UINT64_MAX - 19, uint64_t{1} << 63, uint64_t{1000}})
    CHECK(mentions(forged(record_bytes, n), "damaged token file"));
  for (uint64_t n : {uint64_t{0}, uint64_t{65537}, uint64_t{1} << 31, UINT64_MAX})
    CHECK(mentions(forged(vocabulary, n), "damaged token file"));
  for (uint32_t n : {0u, 1u, 4u, 8u, UINT32_MAX}) CHECK(mentions(forged(id_bytes, n), "damaged token file"));
  CHECK(mentions(forged(text_bytes, UINT64_MAX), "damaged token file"));
}

TEST_CASE("random batches are a pure function of seed and window numbers, of whatever size they are") {
  TemporaryFolder folder;
  const auto file = counting_file(folder / "tokens", 1000);
  const TokenBatches batches(file, 16, 7);
  const TokenBatch first = batches.random(24, 8);
  CHECK(first.inputs.shape().text() == "(8, 16)");
  const Ids inputs = values(first.inputs), targets = values(first.targets);
  for (size_t i = 0; i < inputs.size(); ++i) CHECK(targets[i] == (inputs[i] + 1) % 256);

  batches.random(800, 2);
  CHECK(values(TokenBatches(file, 16, 7).random(24, 8).inputs) == inputs);
  CHECK(values(TokenBatches(file, 16, 8).random(24, 8).inputs) != inputs);
  CHECK(values(batches.random(32, 8).inputs) != inputs);
  Ids joined = values(batches.random(24, 3).inputs);
  for (int32_t id : values(batches.random(27, 5).inputs)) joined.push_back(id);
  CHECK(joined == inputs);
}

TEST_CASE("random windows start everywhere, equally often") {
  TemporaryFolder folder;
  const TokenBatches batches(counting_file(folder / "tokens", 26), 16, 1);
  std::vector<int> times(10);
  for (int64_t number = 0; number < 10000; ++number) {
    const int64_t start = batches.start(number);
    REQUIRE(start >= 0);
    REQUIRE(start < 10);
    ++times[start];
  }
  for (int n : times) CHECK(std::abs(n - 1000) < 150);  // five standard deviations
}

TEST_CASE("windows in order cover each target once") {
  TemporaryFolder folder;
  const TokenBatches batches(counting_file(folder / "tokens", 100), 16, 1);
  REQUIRE(batches.windows() == 6);
  Ids targets = values(batches.window(0, 4).targets);
  for (int32_t id : values(batches.window(4, 2).targets)) targets.push_back(id);
  REQUIRE(targets.size() == 96);
  for (size_t i = 0; i < targets.size(); ++i) CHECK(targets[i] == static_cast<int32_t>(i + 1));
  CHECK(values(batches.window(5, 1).inputs)[0] == 80);
  CHECK_THROWS_AS(batches.window(5, 2), Error);
  CHECK_THROWS_AS(batches.window(-1, 1), Error);
  CHECK_THROWS_AS(batches.random(0, 0), Error);
}

TEST_CASE("a window needs one token more than its length") {
  TemporaryFolder folder;
  const auto file = counting_file(folder / "tokens", 17);
  const TokenBatches batches(file, 16, 1);
  CHECK(batches.windows() == 1);
  CHECK(batches.start(0) == 0);
  CHECK_THROWS_WITH_AS(TokenBatches(file, 17, 1), doctest::Contains("shorten the context"), Error);
  CHECK_THROWS_AS(TokenBatches(file, 0, 1), Error);
}

TEST_CASE("a text file is cut between characters and tokenized in full") {
  TemporaryFolder folder;
  const std::string text_path = folder / "text.txt", out = folder / "out";
  std::string text;
  for (int i = 0; i < 5; ++i) text += "\xe6\x97\xa5";  // 15 bytes; half of them end inside the third 日
  write_file_atomically(text_path, text);
  TokenizeOptions options{.tokenizer = {.kind = "character"}, .val_fraction = 0.5};
  int64_t done = 0, all = 0;
  const TokenizedText result = tokenize_file(text_path, out, options, [&](int64_t d, int64_t a) { done = d, all = a; });
  CHECK(done == 15);
  CHECK(all == 15);
  CHECK(result.vocabulary == 1);
  const TokenFile training(out + "/train.tokens"), validation(out + "/val.tokens");
  CHECK(training.text_bytes() == 9);
  CHECK(validation.text_bytes() == 6);
  CHECK(training.count() == 3);
  CHECK(validation.count() == result.validation.tokens);

  options = {.tokenizer = {.kind = "byte"}, .val_fraction = 0};
  tokenize_file("text:" + text_path, out, options);  // as --data names it
  CHECK(!std::filesystem::exists(out + "/val.tokens"));  // it was of another tokenization
  const TokenFile bytes(out + "/train.tokens");
  CHECK(byte_tokenizer()->decode(read_all(bytes)) == text);

  for (double fraction : {-0.1, 0.01, 1.0, std::nan("")}) {  // 1 % of 15 bytes holds no character
    options.val_fraction = fraction;
    CHECK_THROWS_AS(tokenize_file(text_path, out, options), Error);
  }
  options.val_fraction = 0.1;
  write_file_atomically(text_path, "x");
  CHECK_THROWS_AS(tokenize_file(text_path, out, options), Error);
  CHECK_THROWS_AS(tokenize_file(folder / "none", out, options), Error);
}

TEST_CASE("token files whose tokenizer cannot be what wrote them are refused") {
  CHECK_NOTHROW(check_record(byte_tokenizer()->record(), "a", 256));
  CHECK_NOTHROW(check_record(R"({"kind":"gpt2","folder":"/none"})", "a", 50257));
  for (const char* record : {"", "3", "[]", "{}", R"({"kind":3})", R"({"kind":"words"})", R"({"kind":"character"})",
                             R"({"kind":"character","characters":"ab"})"})
    CHECK_THROWS_AS(check_record(record, "a", 256), Error);
}

}  // namespace
}  // namespace gestalt::test
