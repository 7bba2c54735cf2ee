// Losses on the statistics of a batch: the invariance, variance and covariance terms of VICReg.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// All give a (1) tensor in the accumulator's dtype, and throw Error where shapes or dtypes do not fit. Bardes, Ponce
// and LeCun 2022, equations 1 to 5, with the means of their published code: over N·D in the first, over D in the
// others.

// mean over all elements of (a − b)², for a and b of one shape and dtype. Both get gradients unless detached.
Tensor mean_squared(const Tensor& a, const Tensor& b);

// mean over the columns of z (N, D) of max(0, target − √(variance + eps)), variance with 1/(N − 1); N is 2 or more.
Tensor variance_hinge(const Tensor& z, double target = 1, double eps = 1e-4);

// Σ_{i≠j} C_ij² / D with the covariance C (D, D) of the columns of z (N, D), with 1/(N − 1); N is 2 or more. Takes
// memory for C, which backward keeps in z's dtype, and for one copy of z.
Tensor covariance_loss(const Tensor& z);

}  // namespace gestalt
