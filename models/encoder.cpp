// The list of encoders and their construction by name.
#include "models/encoder.h"

#include "models/resnet.h"
#include "models/vit.h"

namespace gestalt {

void EncoderOptions::fields(Fields& f) {
  f("model", model, "encoder; see 'gestalt list models'");
  f("stem", stem, "cifar (3x3), imagenet (7x7 stride 2, max-pool) or auto (cifar up to 64 pixels)",
    {"auto", "cifar", "imagenet"});
  f("width", width, "channels of the first stage of a ResNet; 64 is the paper's, 16 or 32 suit a CPU");
  f("patch", patch, "pixels along a patch of a ViT; 0: 4 for images up to 64 pixels, else 16");
  f("pool", pool, "features of a ViT: mean of its patch tokens, or cls, its class token", {"mean", "cls"});
}

std::vector<EncoderEntry> list_encoders() {
  std::vector<EncoderEntry> all;
  for (const ResNetShape& s : resnet_shapes()) all.push_back({s.name, s.summary});
  for (const VitShape& s : vit_shapes()) all.push_back({s.name, s.summary});
  return all;
}

std::unique_ptr<Encoder> make_encoder(const EncoderOptions& options, int64_t image_size, Random& random) {
  check(options.width >= 1 && options.width <= 1024, "[model] got --width {}, expected 1 to 1024", options.width);
  const bool cifar_stem = options.stem == "cifar" || (options.stem == "auto" && image_size <= 64);
  for (const ResNetShape& s : resnet_shapes())
    if (s.name == options.model) return std::make_unique<ResNet>(s, options.width, cifar_stem, random);
  const int64_t patch = options.patch > 0 ? options.patch : (image_size <= 64 ? 4 : 16);
  for (const VitShape& s : vit_shapes())
    if (s.name == options.model)
      return std::make_unique<VisionTransformer>(s, image_size, patch, options.pool == "cls", random);
  std::vector<std::string> names;
  for (const EncoderEntry& e : list_encoders()) names.push_back(e.name);
  fail("[model] got --model '{}', which is none{}", options.model, suggestion(options.model, names));
}

}  // namespace gestalt
