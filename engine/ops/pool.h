// Pooling of NHWC images.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// x (N, H, W, C) → (N, H', W', C), H' = ⌊(H + 2·padding − kernel) / stride⌋ + 1. kernel ≤ 16, padding ≤ kernel / 2.
Tensor max_pool2d(const Tensor& x, int64_t kernel, int64_t stride, int64_t padding = 0);
Tensor average_pool2d(const Tensor& x, int64_t kernel, int64_t stride, int64_t padding = 0);  // padding counts as zeros

// x (N, H, W, C) or (N, T, C) → (N, C): the mean over all positions.
Tensor global_average_pool(const Tensor& x);

}  // namespace gestalt
