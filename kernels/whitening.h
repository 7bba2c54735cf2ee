// Whitening of groups of rows by Cholesky's decomposition of their covariance, and its gradient.
// Ermolov, Siarohin, Sangineto and Sebe 2021, "Whitening for self-supervised representation learning".
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

constexpr int64_t most_whitened = 128;  // numbers of a row: as many as a block's shared memory has room for
constexpr double least_pivot = 1e-12;   // below it a direction counts as one that does not vary

// Of each group: x = z − mean of its rows, L·Lᵀ = (1 − shrink) · xᵀx / (rows − 1) + shrink · I, and y = x·L⁻ᵀ.
struct Whiten {
  In z;        // (groups · rows, dim), f32 or f64
  Out y;       // the same
  Out factor;  // (groups, dim, dim): L, with zeros above the diagonal
  int64_t groups, rows, dim;
  double shrink;
};
GESTALT_KERNEL(Whiten)
inline double whitening_flops(int64_t groups, int64_t rows, int64_t dim) {
  return real(groups) * real(dim) * real(dim) * (2 * real(rows) + real(dim) / 3);
}
inline Cost cost(const Whiten& k) {
  return {.flops = whitening_flops(k.groups, k.rows, k.dim),
          .bytes = 2 * traffic(k.groups * k.rows * k.dim, k.z) + traffic(k.groups * k.rows * k.dim, k.y) +
                   traffic(k.groups * k.dim * k.dim, k.factor),
          .loss = true};
}
// Of each group the rows in f64, by columns.
inline int64_t scratch_bytes(const Whiten& k, Device) { return k.groups * k.rows * k.dim * size_of(DType::f64); }

// With G = dyᵀ·y and H the symmetric matrix of G's lower triangle:
// dx = (dy − (1 − shrink) / (rows − 1) · y·H) · L⁻¹, and dz = dx − mean of its rows.
struct WhitenBackward {
  In y, factor, dy;
  Out dz;
  int64_t groups, rows, dim;
  double shrink;
};
GESTALT_KERNEL(WhitenBackward)
inline Cost cost(const WhitenBackward& k) {
  return {.flops = 2 * whitening_flops(k.groups, k.rows, k.dim),
          .bytes = 2 * traffic(k.groups * k.rows * k.dim, k.y, k.dy) + traffic(k.groups * k.rows * k.dim, k.dz),
          .loss = true};
}
inline int64_t scratch_bytes(const WhitenBackward& k, Device) {
  return k.groups * k.rows * k.dim * size_of(DType::f64);
}

}  // namespace gestalt::kernels
