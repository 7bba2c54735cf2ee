// Batch normalisation, fused with ReLU and with a residual addition.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

struct BatchNormOptions {
  double momentum = 0.1;  // share of the batch in the running statistics
  double eps = 1e-5;
  bool relu = false;
  bool training = true;
  Tensor residual = {};  // like x, added before the ReLU; undefined for none
};

// y = relu(gamma · (x − mean) / √(var + eps) + beta + residual) over all but the last axis of x (…, C); Ioffe and
// Szegedy 2015. gamma, beta and the running statistics are (C), f32 where x is bf16. Training uses the batch's mean and
// biased variance and moves the running statistics (unbiased variance) in place; evaluation uses the running ones.
// Training needs two rows or more.
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                  const Tensor& running_var, const BatchNormOptions& options = {});

}  // namespace gestalt
