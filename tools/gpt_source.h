// A GPT that the command line names: one that was trained here, or one of Hugging Face.
#pragma once

#include <memory>
#include <string>

#include "engine/data/text/tokenizer.h"
#include "models/gpt_file.h"

namespace gestalt::tools {

struct GptSource {
  std::string model, bpe, device = "auto", dtype = "auto";  // `model`: a run folder or a model.safetensors

  void fields(Fields& f);
};

// Whether `path` is a GPT's weights, or a folder that holds some.
bool holds_gpt(const std::string& path);

// The weights that find_gpt() finds; says what of the file is ignored.
LoadedGpt load_gpt_of(const std::string& path);

struct OpenedGpt {
  std::unique_ptr<Gpt> model;
  std::unique_ptr<const Tokenizer> tokenizer;
  DType dtype;
};
// Throws Error as find_gpt() does, and for a missing tokenizer.
OpenedGpt open_gpt(const GptSource& source);

}  // namespace gestalt::tools
