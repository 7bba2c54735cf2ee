// Element-by-element ops and sums.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

Tensor add(const Tensor& a, const Tensor& b);  // equal shapes and dtypes
Tensor subtract(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor scale(const Tensor& x, double factor);
Tensor add_row(const Tensor& x, const Tensor& row);  // x (…, D) + row (D); row f32 where x is bf16
Tensor relu(const Tensor& x);
Tensor leaky_relu(const Tensor& x, double slope = 0.2);  // x above 0, slope·x below; DCGAN's slope
Tensor gelu(const Tensor& x);                            // exact, with erf
Tensor gelu_tanh(const Tensor& x);                       // GPT-2's form
Tensor tanh(const Tensor& x);
Tensor softplus(const Tensor& x);  // log(1 + e^x): −log of the logistic function of −x
Tensor sum(const Tensor& x);       // → (1), accumulator's dtype
Tensor mean(const Tensor& x);      // → (1)

}  // namespace gestalt
