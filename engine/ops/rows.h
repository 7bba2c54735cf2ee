// Ops on each row of the last axis: layer norm, softmax, unit length; and dropout.
#pragma once

#include <utility>

#include "engine/tensor/tensor.h"
#include "kernels/varying.h"

namespace gestalt {

// gamma · (x − mean) / √(var + eps) + beta over the last axis of x (…, D); Ba, Kiros and Hinton 2016. gamma and beta
// are (D), f32 where x is bf16.
Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps = 1e-5);

struct SumAndNorm {
  Tensor sum;         // x + residual
  Tensor normalized;  // its layer norm
};
SumAndNorm residual_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& gamma, const Tensor& beta,
                               double eps = 1e-5);

Tensor softmax(const Tensor& x);
Tensor log_softmax(const Tensor& x);

// x / max(‖x‖, eps) over the last axis.
Tensor normalize(const Tensor& x, double eps = 1e-12);

// Zeroes each element with probability p and scales the others by 1 / (1 − p); Srivastava et al. 2014. The mask is a
// function of (seed, step, slot, element): `slot` tells the dropout sites of a model apart.
Tensor dropout(const Tensor& x, double p, uint64_t seed, kernels::Varying<uint64_t> step, uint32_t slot);

}  // namespace gestalt
