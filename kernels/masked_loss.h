// The masked reconstruction loss of MAE, which reads its targets from the images.
#pragma once

#include "kernels/launch.h"
#include "kernels/patch.h"

namespace gestalt::kernels {

constexpr double patch_variance_epsilon = 1e-6;  // MAE's

// What the loss compares: the predictions and the patches of the images at masked positions.
struct MaskedPatches {
  In predictions;  // (batch, patches, side·side·3)
  In images;       // (batch, height, width, 3), the accumulator's dtype
  In masked;       // i32 (batch, count), a batch element's entries distinct
  PatchGrid grid;
  int64_t count;
  bool normalise;  // targets minus their patch's mean, over √(its unbiased variance + patch_variance_epsilon)
};

// loss[0] = mean over masked patches and their elements of (prediction − target)²; He et al. 2022, §3, "reconstruction
// target". No target outside the patch at hand exists.
struct MaskedLoss {
  MaskedPatches of;
  Out loss;  // (1), the accumulator's dtype
};
GESTALT_KERNEL(MaskedLoss)
inline Cost cost(const MaskedLoss& k) {
  return {.bytes = traffic(k.of.grid.batch * k.of.count * k.of.grid.size(), k.of.predictions, k.of.images),
          .loss = true};
}
// Each masked patch's sum.
inline int64_t scratch_bytes(const MaskedLoss& k, Device) {
  return k.of.grid.batch * k.of.count * size_of(accumulator_of(k.of.predictions.dtype));
}

// dpredictions = dloss[0] · 2 · (prediction − target) / (batch · count · side·side·3) where masked, else 0.
struct MaskedLossBackward {
  MaskedPatches of;
  In dloss;  // (1), the accumulator's dtype
  Out dpredictions;
};
GESTALT_KERNEL(MaskedLossBackward)
inline Cost cost(const MaskedLossBackward& k) {
  return {.bytes = traffic(k.of.grid.batch * k.of.count * k.of.grid.size(), k.of.predictions, k.of.images) +
                   traffic(k.of.grid.batch * k.of.grid.patches() * k.of.grid.size(), k.dpredictions),
          .loss = true};
}

}  // namespace gestalt::kernels
