// Matrix products and the linear layer.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// a (…, M, K) · b (…, K, N) → (…, M, N), with equal leading dimensions; a transpose flag means that operand is stored
// with its last two dimensions exchanged.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

// x (…, I), weight (O, I), bias (O) or undefined → (…, O). Parameters may be f32 where x is bf16; bias always is then.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

// gelu(linear(x, weight, bias)); backward, the bias' gradient is summed where the GELU's slope is taken.
Tensor linear_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

// The same with gelu_tanh, which on CUDA is part of the product.
Tensor linear_gelu_tanh(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace gestalt
