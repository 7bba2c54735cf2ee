// Token cross-entropy: softmax and loss in one pass over the logits, and a gradient that may overwrite them.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// loss = mean over the rows whose target is not `ignore` of
//   lse(z) − (1 − smoothing)·z[target] − smoothing·mean(z),
// 0 if there is none. Label smoothing as in Szegedy et al. 2016. A target that is no class is refused on the CPU; on
// CUDA, where a kernel cannot refuse, it makes the loss NaN.
struct CrossEntropy {
  In logits;  // (rows, classes)
  In target;  // (rows), i32
  Out lse;    // (rows), the log of each row's sum of exponentials; this and what follows in the accumulator's dtype
  Out loss;   // (1)
  Out share;  // (1), 1 / rows that count, or 0
  int64_t rows, classes;
  int32_t ignore;
  double smoothing;
};
GESTALT_KERNEL(CrossEntropy)
inline Cost cost(const CrossEntropy& k) { return {.bytes = traffic(k.rows * k.classes, k.logits), .loss = true}; }
// Each row's loss.
inline int64_t scratch_bytes(const CrossEntropy& k, Device) { return k.rows * size_of(accumulator_of(k.logits.dtype)); }

// dlogits = dloss · share · (softmax − smoothed target), 0 in ignored rows. dlogits may be logits.
struct CrossEntropyBackward {
  In logits, target, lse, share;
  In dloss;  // (1)
  Out dlogits;
  int64_t rows, classes;
  int32_t ignore;
  double smoothing;
};
GESTALT_KERNEL(CrossEntropyBackward)
inline Cost cost(const CrossEntropyBackward& k) {
  return {.bytes = traffic(k.rows * k.classes, k.logits, k.dlogits), .loss = true};
}

}  // namespace gestalt::kernels
