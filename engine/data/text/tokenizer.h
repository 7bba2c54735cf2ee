// Tokenizers: text to ids and back, as bytes, as characters, or as GPT-2's byte pairs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/run/fields.h"

namespace gestalt {

// Immutable once made, so threads may share one. For well-formed UTF-8, decode(encode(text)) == text.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string name() const = 0;    // "byte", "character" or "gpt2"
  virtual int64_t vocabulary() const = 0;  // ids are in [0, vocabulary)
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;
  // Bytes, which end inside a character where the ids do. Throws Error for an id outside the vocabulary.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  // The id that separates documents, if there is one.
  virtual std::optional<int32_t> end_of_text() const { return {}; }
  // JSON from which tokenizer_from_record() makes an equal tokenizer; kept in token files and runs.
  virtual std::string record() const = 0;
};

// Ids are the bytes. Vocabulary 256.
std::unique_ptr<const Tokenizer> byte_tokenizer();

// Ids are places in the sorted list of the distinct characters of `text`. Encoding a character that is not among them
// throws Error with the character and its byte offset. Ill-formed UTF-8 counts as U+FFFD.
std::unique_ptr<const Tokenizer> character_tokenizer(std::string_view text);

// GPT-2's byte-pair encoding (Radford et al. 2019) from the published `encoder.json` and `vocab.bpe` in `folder`.
// Ill-formed UTF-8 is encoded as U+FFFD, like Python's errors="replace". With `special`, "<|endoftext|>" in a text is
// the one token end_of_text(); without, it is seven ordinary ones.
std::unique_ptr<const Tokenizer> gpt2_tokenizer(const std::string& folder, bool special = false);

// The tokenizer that record() described. GPT-2's files are looked for in `bpe_folder` or, where that is empty, in the
// folder on record; throws Error if they are not the files that the record was made with.
std::unique_ptr<const Tokenizer> tokenizer_from_record(const std::string& record, const std::string& bpe_folder = "");

// Throws Error unless `record` is one of a tokenizer with `vocabulary` ids. Looks for no files.
void check_record(const std::string& record, int64_t vocabulary);

struct TokenizerOptions {
  std::string kind = "character";
  std::string bpe = "";
  bool special = false;

  void fields(Fields& f) {
    f("tokenizer", kind, "how text becomes tokens", {"byte", "character", "gpt2"});
    f("bpe", bpe, "folder with GPT-2's encoder.json and vocab.bpe");
    f("special", special, "gpt2: read <|endoftext|> in the text as the end-of-text token");
  }
};

// The tokenizer that the options name; `text` is where a character tokenizer takes its characters from.
std::unique_ptr<const Tokenizer> make_tokenizer(const TokenizerOptions& options, std::string_view text);

}  // namespace gestalt
