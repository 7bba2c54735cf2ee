// From a text file to token files for training and validation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "engine/data/text/token_file.h"

namespace gestalt {

struct TokenizeOptions {
  TokenizerOptions tokenizer = {};
  double val_fraction = 0.1;
  std::string encoding = "utf-8";

  void fields(Fields& f) {
    tokenizer.fields(f);
    f("val-fraction", val_fraction, "share of the text, at its end, kept for validation", under(1));
    f("encoding", encoding, "what a text: is written in; other texts than UTF-8 are refused or converted",
      {"utf-8", "latin-1"});
  }
};

struct TokenizedPart {
  std::string path;  // empty if the part is
  int64_t text_bytes = 0, tokens = 0;
};

struct TokenizedText {
  TokenizedPart training, validation;
  int64_t vocabulary = 0;
  double seconds = 0;  // of tokenizing and writing
};

// Writes `train.tokens` and, unless the fraction is 0, `val.tokens` into `folder`, which is made if need be; older ones
// are replaced. The text is what open_text() makes of the path, or "jsonl:FILE#field". It is cut at ⌊bytes · (1 -
// val_fraction)⌋, moved on to the next character. A character tokenizer's characters are those of the whole text.
// `progress` is told the bytes done and the bytes in all.
TokenizedText tokenize_file(const std::string& text_path, const std::string& folder, const TokenizeOptions& options,
                            const std::function<void(int64_t, int64_t)>& progress = {});

struct TokenSets {
  std::shared_ptr<const TokenFile> training, validation;  // the latter null if the fraction is 0
};
// The ids that tokenize_file writes, in memory. `name` is what messages call the text.
TokenSets tokenize_text(std::string_view text, const std::string& name, const TokenizeOptions& options);
// The same by a tokenizer that is there already: a model's.
TokenSets tokenize_text(std::string_view text, const std::string& name, const Tokenizer& tokenizer,
                        double val_fraction);

// The length of a first part of `text`, at least `least` bytes, after which a cut changes no token: the parts' ids are
// the whole's. Such a place is behind a line break between two visible ASCII characters; without one it is the end.
size_t safe_cut(std::string_view text, size_t least);

}  // namespace gestalt
