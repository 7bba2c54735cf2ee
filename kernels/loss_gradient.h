// The gradient that a loss makes beside its value, brought to what the loss's own gradient turns out to be.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// gradient *= dloss[0] / expected, in place. Where that is 1, as where the loss is what training descends, nothing is
// read or written.
struct ScaleLossGradient {
  In dloss;      // (1), the accumulator's dtype
  Out gradient;  // (count)
  double expected;
  int64_t count;
};
GESTALT_KERNEL(ScaleLossGradient)
inline Cost cost(const ScaleLossGradient&) { return {.loss = true}; }

}  // namespace gestalt::kernels
