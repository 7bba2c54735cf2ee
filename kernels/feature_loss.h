// The loss of prediction in feature space: smooth L1 against normalised rows that are picked from a teacher's tokens.
#pragma once

#include "kernels/tokens.h"

namespace gestalt::kernels {

// What the loss compares. The target of prediction k of batch element b is row index[b, k] of the element's features,
// less its mean and divided by its deviation: a layer norm without scale and shift.
struct PickedFeatures {
  static constexpr double epsilon = 1e-5;  // of the variance; PyTorch's layer_norm has it
  In predictions;                          // (batch, picked, columns)
  In features;                             // (batch, length, columns), of the same dtype
  In index;                                // i32 (batch, picked)
  TokenPick pick;

  int64_t rows() const { return pick.batch * pick.picked; }
  double share() const { return 1 / real(rows() * pick.columns); }
};

// loss[0] = mean of ½d² where |d| < 1 and |d| − ½ elsewhere, d = prediction − target (Girshick 2015, equation 3). No
// target outside the row at hand exists.
struct FeatureLoss {
  PickedFeatures of;
  Out loss;  // (1), the accumulator's dtype
};
GESTALT_KERNEL(FeatureLoss)
inline Cost cost(const FeatureLoss& k) {
  return {.bytes = traffic(k.of.rows() * k.of.pick.columns, k.of.predictions, k.of.features), .loss = true};
}
// Each row's sum.
inline int64_t scratch_bytes(const FeatureLoss& k, Device) { return k.of.rows() * size_of(k.loss.dtype); }

// dpredictions = dloss[0] · min(max(d, −1), 1) / number of elements.
struct FeatureLossBackward {
  PickedFeatures of;
  In dloss;  // (1), the accumulator's dtype
  Out dpredictions;
};
GESTALT_KERNEL(FeatureLossBackward)
inline Cost cost(const FeatureLossBackward& k) {
  return {.bytes = traffic(k.of.rows() * k.of.pick.columns, k.of.predictions, k.of.features, k.dpredictions),
          .loss = true};
}

}  // namespace gestalt::kernels
