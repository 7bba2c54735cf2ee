// The texts that --data can name, as tokens for training and validation.
#pragma once

#include <string>
#include <vector>

#include "engine/data/text/tokenize.h"

namespace gestalt {

// The training and validation tokens that `spec` names: `tokens:FOLDER` (from `gestalt tokenize`), `text:FILE` or
// `jsonl:FILE#field`, whose last part is kept for validation, `sums:LINES`, a text made by a formula: lines such as
// "27+45=72", or `letters:COUNT`, that many of 65 characters drawn evenly. All but the first are tokenized in memory as
// `options` say. Throws Error for another spec, a missing file, or two token files of different tokenizers.
TokenSets open_tokens(const std::string& spec, const TokenizeOptions& options);
// The same by a model's own tokenizer. Throws Error where a text has a character that the tokenizer does not know, or
// token files are of another tokenizer.
TokenSets open_tokens(const std::string& spec, const Tokenizer& tokenizer, double val_fraction,
                      const std::string& encoding = "utf-8");

// Lines for `gestalt list data`, one a scheme.
struct TextSource {
  std::string scheme, usage, help;
};
const std::vector<TextSource>& text_sources();
// Whether it begins with one of their schemes.
bool names_text(const std::string& spec);
// About how many bytes of text `spec` names, without reading large ones.
int64_t approximate_bytes(const std::string& spec);

}  // namespace gestalt
