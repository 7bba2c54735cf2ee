// The byte and character tokenizers, and tokenizers by name and from a record.
#include "engine/data/text/tokenizer.h"

#include <algorithm>

#include "engine/data/text/bpe.h"
#include "engine/run/fields_json.h"
#include "engine/run/utf8.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

class ByteTokenizer : public Tokenizer {
 public:
  std::string name() const override { return "byte"; }
  int64_t vocabulary() const override { return 256; }
  std::string record() const override { return R"({"kind":"byte"})"; }

  std::vector<int32_t> encode(std::string_view text) const override {
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    return {bytes, bytes + text.size()};
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (int32_t id : ids) {
      check(id >= 0 && id < 256, "[tokenizer] got id {}, expected a byte, 0 to 255", id);
      text += static_cast<char>(id);
    }
    return text;
  }
};

class CharacterTokenizer : public Tokenizer {
 public:
  explicit CharacterTokenizer(std::vector<char32_t> characters) : characters_(std::move(characters)) {
    check(!characters_.empty(), "[tokenizer] got a text without characters, expected at least one");
    id_of_.assign(characters_.back() + 1, -1);
    for (size_t i = 0; i < characters_.size(); ++i) id_of_[characters_[i]] = static_cast<int32_t>(i);
  }

  std::string name() const override { return "character"; }
  int64_t vocabulary() const override { return static_cast<int64_t>(characters_.size()); }

  std::string record() const override {
    std::string all;
    for (char32_t c : characters_) append_utf8(all, c);
    return Json{{"characters", all}, {"kind", "character"}}.dump();
  }

  std::vector<int32_t> encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    ids.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const CodePoint c = first_code_point(text.substr(at));
      const int32_t id = c.value < id_of_.size() ? id_of_[c.value] : -1;
      check(id >= 0,
            "[tokenizer] got the character {} at byte {}, which is not among the {} characters of the training text; "
            "take it out, or tokenize by bytes",
            describe(c.value), at, characters_.size());
      ids.push_back(id);
      at += c.bytes;
    }
    return ids;
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (int32_t id : ids) {
      check(id >= 0 && id < vocabulary(), "[tokenizer] got id {}, expected 0 to {}", id, vocabulary() - 1);
      append_utf8(text, characters_[id]);
    }
    return text;
  }

 private:
  std::vector<char32_t> characters_;  // ascending
  std::vector<int32_t> id_of_;        // by code point; -1 for unknown
};

std::unique_ptr<const Tokenizer> characters_in_order(const std::string& all) {
  std::vector<char32_t> characters;
  for (size_t at = 0; at < all.size();) {
    const CodePoint c = first_code_point(std::string_view(all).substr(at));
    check(characters.empty() || c.value > characters.back(),
          "[tokenizer] damaged record: the character {} is out of order", describe(c.value));
    characters.push_back(c.value);
    at += c.bytes;
  }
  return std::make_unique<CharacterTokenizer>(std::move(characters));
}

}  // namespace

std::unique_ptr<const Tokenizer> byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

std::unique_ptr<const Tokenizer> character_tokenizer(std::string_view text) {
  std::vector<bool> seen(0x110000);
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = first_code_point(text.substr(at));
    seen[c.value] = true;
    at += c.bytes;
  }
  std::vector<char32_t> characters;
  for (char32_t c = 0; c < seen.size(); ++c)
    if (seen[c]) characters.push_back(c);
  return std::make_unique<CharacterTokenizer>(std::move(characters));
}

std::unique_ptr<const Tokenizer> gpt2_tokenizer(const std::string& folder, bool special) {
  return std::make_unique<BpeTokenizer>(folder, special);
}

std::unique_ptr<const Tokenizer> tokenizer_from_record(const std::string& record, const std::string& bpe_folder) {
  const Json fields = parse_json("a tokenizer's record", record);
  const auto part = [&](const char* name, bool (Json::*is_right)() const) -> const Json& {
    const Json* found = fields.find(name);
    check(found && (found->*is_right)(), "[tokenizer] damaged record: '{}' is {}", name,
          found ? found->dump() : "missing");
    return *found;
  };
  const std::string kind = part("kind", &Json::is_string).text();
  if (kind == "byte") return byte_tokenizer();
  if (kind == "character") return characters_in_order(part("characters", &Json::is_string).text());
  check(kind == "gpt2", "[tokenizer] damaged record: got kind '{}', expected byte, character or gpt2", kind);
  const std::string folder = bpe_folder.empty() ? bytes_from_utf8(part("folder", &Json::is_string).text()) : bpe_folder;
  auto tokenizer = std::make_unique<BpeTokenizer>(folder, part("special", &Json::is_boolean).get<bool>());
  check(tokenizer->checksum() == part("checksum", &Json::is_number_unsigned).get<uint32_t>(),
        "[tokenizer] the encoder.json and vocab.bpe in '{}' are not those that the run or token file was made with",
        folder);
  return tokenizer;
}

void check_record(const std::string& record, const std::string& name, int64_t vocabulary) {
  const Json fields = parse_json(name, record);
  const bool has_kind = fields.is_object() && fields.contains("kind") && fields["kind"].is_string();
  check(has_kind, "[tokenizer] '{}' has a damaged record of its tokenizer", name);
  if (fields["kind"] == "gpt2") return;  // its files may lie elsewhere, and are not needed to train
  const int64_t known = tokenizer_from_record(record)->vocabulary();
  check(known == vocabulary, "[tokenizer] '{}' has {} kinds of tokens, but its tokenizer's record has {}", name,
        vocabulary, known);
}

std::unique_ptr<const Tokenizer> make_tokenizer(const TokenizerOptions& options, std::string_view text) {
  check(options.kind == "gpt2" || !options.special, "[tokenizer] --special is for gpt2; '{}' has no end-of-text token",
        options.kind);
  if (options.kind == "byte") return byte_tokenizer();
  if (options.kind == "character") return character_tokenizer(text);
  check(options.kind == "gpt2", "[tokenizer] got '{}', expected byte, character or gpt2", options.kind);
  check(!options.bpe.empty(),
        "[tokenizer] gpt2 needs GPT-2's encoder.json and vocab.bpe; name their folder with --bpe DIR");
  return gpt2_tokenizer(options.bpe, options.special);
}

}  // namespace gestalt
