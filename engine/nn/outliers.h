// Which steps' gradients are too large to follow, by those of the steps before.
#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace gestalt {

// Holds a step's gradient norm against the last `window`: an outlier lies more than `limit` of their standard
// deviations above their mean. An outlier joins the others as the largest norm that would have passed, so that one
// alone does not hide the next, and norms that are large from now on are soon usual. Everything is in state(), for
// checkpoints.
class Outliers {
 public:
  static constexpr int64_t window = 128;

  explicit Outliers(double limit);

  // Whether the step of this norm is usual. The first `window` are, and so is a norm that is not finite, which is no
  // matter of degree.
  bool usual(double norm);
  int64_t found() const;

  const Tensor& state() const { return state_; }

 private:
  double limit_;
  Tensor state_;  // (window + 2) f64 on the CPU: norms in a ring; how many came; how many were outliers
};

}  // namespace gestalt
