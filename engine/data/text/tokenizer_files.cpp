// Writing tokenizers in the format of Hugging Face's tokenizers library.
#include "engine/data/text/tokenizer_files.h"

#include <filesystem>

#include "engine/data/text/bpe.h"
#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/run/utf8.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr const char* config_file = "tokenizer_config.json";
constexpr const char* end_of_text = "<|endoftext|>";

void write_json(const std::string& folder, const char* name, const Json& json) {
  write_file_atomically((std::filesystem::path(folder) / name).string(), json.dump(2) + "\n");
}

// The printable character that GPT-2's files write a byte as: itself, or the next one from U+0100 on.
char32_t printable(int byte) {
  const auto stays = [](int b) { return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE; };
  if (stays(byte)) return static_cast<char32_t>(byte);
  int moved = 0;
  for (int b = 0; b < byte; ++b) moved += !stays(b);
  return static_cast<char32_t>(0x100 + moved);
}

Json tokenizer_json(const Json& pre_tokenizer, const Json& decoder, const Json& model) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", pre_tokenizer},
          {"post_processor", nullptr},
          {"decoder", decoder},
          {"model", model}};
}

// Bytes are byte pairs of which none merge.
Json bytes_json() {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string text;
    append_utf8(text, printable(byte));
    vocabulary[text] = byte;
  }
  const Json level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  return tokenizer_json(level, level,
                        {{"type", "BPE"},
                         {"dropout", nullptr},
                         {"unk_token", nullptr},
                         {"continuing_subword_prefix", nullptr},
                         {"end_of_word_suffix", nullptr},
                         {"fuse_unk", false},
                         {"byte_fallback", false},
                         {"ignore_merges", false},
                         {"vocab", vocabulary},
                         {"merges", Json::array()}});
}

// Characters are words of one letter. A character that is not among them is an error there as here: there is no token
// for unknown ones.
Json characters_json(const Tokenizer& tokenizer) {
  Json vocabulary = Json::object();
  for (int32_t id = 0; id < tokenizer.vocabulary(); ++id) vocabulary[tokenizer.decode({&id, 1})] = id;
  return tokenizer_json(
      {{"type", "Split"}, {"pattern", {{"Regex", R"([\s\S])"}}}, {"behavior", "Isolated"}, {"invert", false}},
      {{"type", "Fuse"}}, {{"type", "WordLevel"}, {"vocab", vocabulary}, {"unk_token", "[UNK]"}});
}

}  // namespace

bool needs_files(const std::string& record) { return parse_json("a tokenizer's record", record)["kind"] == "gpt2"; }

void save_tokenizer_files(const std::string& folder, const std::string& record, int64_t context,
                          const std::string& bpe_folder) {
  const auto tokenizer = tokenizer_from_record(record, bpe_folder);
  for (const char* other : {"vocab.json", "merges.txt", "tokenizer.json"})  // of a tokenizer that was here before
    std::filesystem::remove(std::filesystem::path(folder) / other);
  Json config{{"tokenizer_class", "PreTrainedTokenizerFast"},
              {"model_max_length", context},
              {"clean_up_tokenization_spaces", false}};
  if (const auto* pairs = dynamic_cast<const BpeTokenizer*>(tokenizer.get())) {
    const std::filesystem::path from = pairs->folder();
    write_file_atomically(folder + "/vocab.json", read_text(from / "encoder.json"));
    write_file_atomically(folder + "/merges.txt", read_text(from / "vocab.bpe"));
    config["tokenizer_class"] = "GPT2Tokenizer";
    config["add_prefix_space"] = false;
    for (const char* name : {"bos_token", "eos_token", "unk_token"})
      if (tokenizer->end_of_text()) config[name] = end_of_text;
  } else {
    write_json(folder, "tokenizer.json", tokenizer->name() == "byte" ? bytes_json() : characters_json(*tokenizer));
  }
  write_json(folder, config_file, config);
}

void refuse_tokenizer(const std::string& folder, const std::string& why) {
  write_json(folder, config_file, {{"tokenizer_class", why}});
}

}  // namespace gestalt
