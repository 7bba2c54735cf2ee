// Losses on the statistics of a batch: the invariance, variance and covariance terms of VICReg, and Barlow Twins' loss.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// All give a (1) tensor in the accumulator's dtype, and throw Error where shapes or dtypes do not fit. Bardes, Ponce
// and LeCun 2022, equations 1 to 5, with the means of their published code: over N·D in the first, over D in the
// others.

// mean over all elements of (a − b)², for a and b of one shape and dtype. Both get gradients unless detached.
Tensor mean_squared(const Tensor& a, const Tensor& b);

// mean over views, rows and columns of (z_v − μ)² for z (views · N, D), view after view; μ (N, D) is the mean of the
// first `centres` views, through which gradients flow as well (Balestriero and LeCun 2025, the prediction of LeJEPA).
Tensor view_distance(const Tensor& z, int64_t views, int64_t centres);

// √(variance + 1e-4) of each column of z (N, D) → (D), variance with 1/(N − 1); without history.
Tensor column_deviations(const Tensor& z);

// mean over the columns of z (N, D) of max(0, target − √(variance + eps)), variance with 1/(N − 1); N is 2 or more.
Tensor variance_hinge(const Tensor& z, double target = 1, double eps = 1e-4);

// Σ_{i≠j} C_ij² / D with the covariance C (D, D) of the columns of z (N, D), with 1/(N − 1); N is 2 or more. Takes
// memory for C, which backward keeps in z's dtype, and for one copy of z.
Tensor covariance_loss(const Tensor& z);

struct CrossCorrelationLoss {
  Tensor loss;
  Tensor diagonal, redundancy;  // without history: the means of c_ii and of |c_ij| for i ≠ j
};

// Σ_i (c_ii − 1)² + off_weight Σ_{i≠j} c_ij² with c = aᵀ·b / N (D, D), for a and b (N, D) whose columns were brought to
// mean 0 and deviation 1 by the caller: a batch norm without scale and shift (Zbontar et al. 2021, equation 1). Both
// get gradients unless detached. Takes memory for c, which backward keeps in the dtype of a.
CrossCorrelationLoss cross_correlation(const Tensor& a, const Tensor& b, double off_weight);

}  // namespace gestalt
