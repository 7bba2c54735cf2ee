// Images as patches: which are seen, and the pixels of those.
#pragma once

#include "engine/tensor/tensor.h"
#include "kernels/varying.h"

namespace gestalt {

// images (B, H, W, 3), index i32 (B, K) of distinct patches → (B, K, side·side·3) in `dtype`: the pixels of each picked
// patch, rows first. Patches are numbered in rows; an undefined index picks all. Throws unless H and W are multiples of
// `side`.
Tensor gather_patches(const Tensor& images, const Tensor& index, int64_t side, DType dtype);

struct PatchMask {
  Tensor visible;  // i32 (B, K), K = ⌊patches · (1 − ratio)⌋, at least 1
  Tensor places;   // i32 (B, 1 + K): a class token's place 0, then visible + 1
  Tensor masked;   // i32 (B, patches − K)
};
// MAE's random masking (He et al. 2022, §3) of the images whose indices in their data set are `samples`, i32 (B). An
// image's mask is a function of its index, patches, ratio, seed and step alone. Throws unless ratio is in [0, 1).
PatchMask random_mask(const Tensor& samples, int64_t patches, double ratio, uint64_t seed,
                      kernels::Varying<uint64_t> step);

}  // namespace gestalt
