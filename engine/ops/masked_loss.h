// The reconstruction loss of masked autoencoders.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// predictions (B, N, side·side·3), images (B, H, W, 3), f32 where predictions are bf16, masked i32 (B, M), distinct in
// each row → (1): the mean squared error over masked patches (He et al. 2022, §3). With `normalise`, each target patch
// has its mean taken off and is divided by its deviation. Only predictions get a gradient. Throws Error unless M is 1
// or more and shapes and dtypes fit.
Tensor masked_loss(const Tensor& predictions, const Tensor& images, const Tensor& masked, int64_t side, bool normalise);

}  // namespace gestalt
