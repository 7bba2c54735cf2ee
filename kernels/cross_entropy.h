// Token cross-entropy: softmax, loss and gradient in one pass over the logits, which the gradient may overwrite.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// loss = mean over the rows whose target is not `ignore` of
//   lse(z) − (1 − smoothing)·z[target] − smoothing·mean(z),
// 0 if there is none. Label smoothing as in Szegedy et al. 2016. Its gradient with regard to the logits, 0 in ignored
// rows, is softmax − smoothed target over the number of rows that count; dlogits is `dloss` times that.
// A target that is no class is refused on the CPU; on CUDA, where a kernel cannot refuse, it makes the loss NaN.
struct CrossEntropy {
  In logits;    // (rows, classes)
  In target;    // (rows), i32
  Out loss;     // (1), the accumulator's dtype
  Out dlogits;  // like logits, which it may be; or null
  int64_t rows, classes;
  int32_t ignore;
  double smoothing, dloss;
};
GESTALT_KERNEL(CrossEntropy)
inline Cost cost(const CrossEntropy& k) {
  return {.bytes = traffic(k.rows * k.classes, k.logits, k.dlogits), .loss = true};
}
// Each row's loss, and on CUDA 1 / the rows that count.
inline int64_t scratch_bytes(const CrossEntropy& k, Device) {
  return (k.rows + 1) * size_of(accumulator_of(k.logits.dtype));
}

}  // namespace gestalt::kernels
