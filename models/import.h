// Encoders that other libraries trained: safetensors with the names of torchvision, timm or transformers.
#pragma once

#include <string>
#include <vector>

#include "models/export.h"

namespace gestalt {

// What a file cannot say of itself, where no config.json beside it does; "" is what its library does.
struct ImportOptions {
  std::string model = {}, pool = {}, normalise = {};
  void fields(Fields& f);
};

struct ImportedEncoder {
  LoadedEncoder loaded;           // its notes have the normalisation
  std::vector<std::string> said;  // what was taken for what, what was ignored
};

// A ResNet or a ViT that save_encoder() wrote or one of those libraries, from a safetensors file, or a folder with
// model.safetensors and config.json, or the folder of a run. What kind it is its shapes say; `options` and the
// config.json have to agree. Heads are ignored and named. Throws Error, naming the tensor, for one that is missing, or
// that none of our encoders has a place for; and for what would give other features than there.
ImportedEncoder import_encoder(const std::string& path, const ImportOptions& options = {});

// Fills an encoder that was built with `options` for images of `image_size` with the weights of such a file; positions
// of another grid are interpolated. Returns what is to be said. Throws Error, with the flag that would help, where the
// file's encoder is another one.
std::vector<std::string> fill_encoder(const std::string& path, Encoder& encoder, const EncoderOptions& options,
                                      int64_t image_size);

}  // namespace gestalt
