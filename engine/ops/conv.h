// Convolution and transposed convolution of NHWC images, with their gradients.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// x (N, H, W, I), w (O, KH, KW, I) → (N, H', W', O), zero padding, no bias. w may be f32 where x is bf16.
Tensor conv2d(const Tensor& x, const Tensor& w, int64_t stride = 1, int64_t padding = 0);

// The gradient that the convolution with filters w gives its input, as an op of its own: x (N, H, W, I),
// w (I, KH, KW, O) → (N, H', W', O), H' = (H − 1)·stride − 2·padding + KH. PyTorch's ConvTranspose2d keeps the same w
// as (I, O, KH, KW). w may be f32 where x is bf16.
Tensor conv_transpose2d(const Tensor& x, const Tensor& w, int64_t stride = 1, int64_t padding = 0);

}  // namespace gestalt
