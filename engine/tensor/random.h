// The tensors that a model begins with, one after another, so that a seed gives the same weights anywhere.
#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace gestalt {

class Random {
 public:
  explicit Random(uint64_t seed) : seed_(seed) {}

  // Fresh f32 CPU tensors.
  Tensor uniform(const Shape&, double low, double high);
  Tensor normal(const Shape&, double mean, double deviation);
  Tensor truncated_normal(const Shape&, double deviation);  // redrawn outside ±2 deviations

 private:
  Tensor normal(const Shape&, double mean, double deviation, bool truncated);

  uint64_t seed_;
  uint64_t tensors_ = 0;  // drawn so far
};

}  // namespace gestalt
