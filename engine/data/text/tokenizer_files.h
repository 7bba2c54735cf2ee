// Tokenizers as the files that Hugging Face's transformers and tokenizers load.
#pragma once

#include <cstdint>
#include <string>

namespace gestalt {

// Writes into `folder` what AutoTokenizer.from_pretrained(folder) needs to give the same ids as the tokenizer on
// `record`: tokenizer.json for bytes and characters, GPT-2's own vocab.json and merges.txt for its byte pairs, and
// tokenizer_config.json. GPT-2's files come from `bpe_folder`, else from the folder on record; throws Error where they
// are not there. `context` is how many tokens the model sees.
void save_tokenizer_files(const std::string& folder, const std::string& record, int64_t context,
                          const std::string& bpe_folder = "");

// Whether `record` is of a tokenizer whose files have to be there to write it.
bool needs_files(const std::string& record);

// Makes AutoTokenizer.from_pretrained(folder) fail with `why` in its message, instead of giving an empty tokenizer.
void refuse_tokenizer(const std::string& folder, const std::string& why);

}  // namespace gestalt
