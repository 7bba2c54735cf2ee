// GPT as files: the names and layouts in which Hugging Face's transformers keeps GPT-2.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/gpt.h"

namespace gestalt {

// Writes `folder`/model.safetensors and config.json, each atomically, for GPT2LMHeadModel.from_pretrained(folder). The
// token table is cut to the vocabulary; the tied head is left out. `tokenizer` is its record, `notes` go beside it.
// Returns the weights' path.
std::string save_gpt(const std::string& folder, Gpt& model, const std::string& tokenizer,
                     const std::map<std::string, std::string>& notes = {});

// Where a GPT's weights are: `path` itself, or what the folder of a run or of a GPT-2 holds. Throws Error, with the
// cure, for a run that has not ended, and a folder of something else.
std::string find_gpt(const std::string& path);

struct LoadedGpt {
  std::unique_ptr<Gpt> model;
  std::string tokenizer;             // its record; empty if the file has none, as Hugging Face's do not
  std::vector<std::string> ignored;  // tensors of what was put on top of it, such as a classifier
};
// Reads what save_gpt wrote, or a GPT-2 of Hugging Face: heads and epsilon are in the config.json beside the weights;
// without one, heads have 64 features, as all of OpenAI's do. Throws Error naming the file and the part for one that is
// missing, unknown or misshapen, and for a configuration that is not GPT-2's.
LoadedGpt load_gpt(const std::string& path);

// Fills a GPT with the weights that find_gpt() finds. Returns what is to be said of them. Throws Error, with the flags
// that would help, where the file's GPT has other sizes or another vocabulary.
std::string fill_gpt(const std::string& path, Gpt& model);

}  // namespace gestalt
