// Patch tokens and last maps.
#include "models/feature_map.h"

#include "engine/ops/tokens.h"
#include "models/resnet.h"
#include "models/vit.h"

namespace gestalt {

Tensor feature_map(Encoder& encoder, const Tensor& images) {
  if (auto* vit = dynamic_cast<VisionTransformer*>(&encoder)) {
    const Tensor tokens = vit->tokens(images, images.dtype());
    return slice_tokens(tokens, 1, tokens.dim(1))
        .reshape({images.dim(0), images.dim(1) / vit->patch(), images.dim(2) / vit->patch(), tokens.dim(2)});
  }
  auto* resnet = dynamic_cast<ResNet*>(&encoder);
  check(resnet != nullptr, "[encoder] got an encoder without patches, expected a ViT or a ResNet");
  return resnet->last_map(images, false);
}

}  // namespace gestalt
