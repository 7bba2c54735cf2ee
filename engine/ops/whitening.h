// Whitening: what W-MSE's embeddings pass before they are compared.
// Ermolov, Siarohin, Sangineto and Sebe 2021, "Whitening for self-supervised representation learning", section 3.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// z (groups · rows, D) f32 or f64, group after group → the same shape: of each group its rows less their mean, times
// L⁻ᵀ with the Cholesky factor L of (1 − shrink) · covariance + shrink · I, covariance with 1/(rows − 1). Without
// shrink the columns of a group have mean 0, deviation 1 and no correlation. Gradients flow through L. Throws Error
// unless rows divide z's, are twice D or more, and D is at most 128; directions that do not vary stay 0.
Tensor whiten(const Tensor& z, int64_t rows, double shrink = 0);

}  // namespace gestalt
