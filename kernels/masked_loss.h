// The masked reconstruction loss of MAE with its gradient, which reads its targets from the images.
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
// target". dpredictions is `dloss` times its gradient: 2 · (prediction − target) / (batch · count · side·side·3) where
// masked, else 0. No target outside the patch at hand exists, and what is masked is read once for both.
struct MaskedLoss {
  MaskedPatches of;
  Out loss;          // (1), the accumulator's dtype
  Out dpredictions;  // like predictions, or null
  double dloss;
};
GESTALT_KERNEL(MaskedLoss)
inline Cost cost(const MaskedLoss& k) {
  const PatchGrid& grid = k.of.grid;
  return {.bytes = traffic(grid.batch * k.of.count * grid.size(), k.of.predictions, k.of.images) +
                   traffic(grid.batch * grid.patches() * grid.size(), k.dpredictions),
          .loss = true};
}
// The sums of masked patches on the CPU, of all patches of a block's on CUDA.
inline int64_t scratch_bytes(const MaskedLoss& k, Device device) {
  const int64_t patches = device == Device::cpu ? k.of.count : k.of.grid.patches();
  return k.of.grid.batch * patches * size_of(accumulator_of(k.of.predictions.dtype));
}

}  // namespace gestalt::kernels
