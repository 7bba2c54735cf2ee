// The features of an encoder place by place: what it sees where.
#pragma once

#include "models/encoder.h"

namespace gestalt {

// images (N, H, W, 3) → (N, rows, columns, D) in evaluation mode: of a ViT the patch tokens after the last norm, of a
// ResNet the last map before it is averaged. Throws Error for an encoder that has neither.
Tensor feature_map(Encoder& encoder, const Tensor& images);

}  // namespace gestalt
