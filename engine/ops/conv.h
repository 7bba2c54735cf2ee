// Convolution of NHWC images, with its gradients.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// x (N, H, W, I), w (O, KH, KW, I) → (N, H', W', O), zero padding, no bias. w may be f32 where x is bf16.
Tensor conv2d(const Tensor& x, const Tensor& w, int64_t stride = 1, int64_t padding = 0);

}  // namespace gestalt
