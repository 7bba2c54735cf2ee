// SIGReg: whether embeddings are normally distributed, judged from random directions.
// Balestriero and LeCun 2025, "LeJEPA: provable and scalable self-supervised learning without the heuristics".
#pragma once

#include "engine/tensor/tensor.h"
#include "kernels/varying.h"

namespace gestalt {

// (slices, dim) f32: directions of unit length, evenly spread over the sphere; a function of the seed and the step
// alone. Throws Error unless both sizes are 1 or more.
Tensor random_slices(int64_t slices, int64_t dim, uint64_t seed, kernels::Varying<uint64_t> step, Device device);

// The statistic of Epps and Pulley of each slice and each view, averaged → (1), in the accumulator's dtype.
//
// p (views · N, M) holds a view's N embeddings along M directions. T = N · Σ_t w φ [(mean cos(t·p) − φ)² +
// (mean sin(t·p))²] with φ = exp(−t²/2), at 17 values t of [0, 3] by the trapezoidal rule, doubled for those below 0.
// It grows with N where p is not normal; of N(0, 1) its mean is about 1.05 for any N, which is as small as it should
// get, and all in one point give 0.4 · N. |p| beyond 3.5e5 counts as that. Throws Error unless views divide the rows.
Tensor epps_pulley(const Tensor& p, int64_t views = 1);

}  // namespace gestalt
