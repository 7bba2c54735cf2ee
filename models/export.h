// Encoders as files: safetensors with the names and layouts that torchvision and timm load.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/tensor/safetensors.h"
#include "models/encoder.h"

namespace gestalt {

// What a file says about its encoder besides the weights.
struct EncoderInfo {
  EncoderOptions options;
  int64_t image_size = 0;
  std::map<std::string, std::string> notes;  // the run it came from, normalisation, …
};

// Writes atomically. Filters turn from (O, KH, KW, I) to OIHW; batch norms get the num_batches_tracked that a strict
// load in torchvision asks for.
void save_encoder(const std::string& path, Encoder& encoder, const EncoderInfo& info);

// A filter (O, I, KH, KW) as ours, (O, KH, KW, I).
Tensor filter_of_ours(const Tensor& oihw);

// The tensors of such a file: (O, KH, KW, I) filters turned, everything else as it is.
std::vector<NamedTensor> exported_tensors(Encoder& encoder);

// Throws Error, naming `path` and the part, unless all of the module's numbers are finite.
void check_finite_parts(const std::string& path, Module& module);

struct LoadedEncoder {
  std::unique_ptr<Encoder> encoder;
  EncoderInfo info;
};
// Reads what save_encoder wrote. Throws Error naming the file and the part for a missing or misshapen part, and for an
// encoder that is not one of list_encoders(): build that yourself and use load_parts.
LoadedEncoder load_encoder(const std::string& path);
// Fills an encoder that was built as the file's was.
void load_parts(const std::string& path, Encoder& encoder);

}  // namespace gestalt
