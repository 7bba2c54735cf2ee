// Folders of exported models.
#pragma once

#include <string>

#include "models/gpt_file.h"
#include "tools/evaluation.h"

namespace gestalt::tools {

// Write into `out` what other libraries load, and say what it is. `model` is what the user named: where it is the
// folder of a run, the card tells of the run, and of a masked autoencoder the decoder is there too.
void export_encoder(ReadyEncoder& ready, const std::string& model, const std::string& out);
// `bpe` is a folder with GPT-2's byte-pair files, where they moved.
void export_gpt(LoadedGpt& loaded, const std::string& model, const std::string& out, const std::string& bpe);

}  // namespace gestalt::tools
