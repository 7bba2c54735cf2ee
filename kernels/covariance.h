// Losses on the statistics of a batch of embeddings: VICReg's squared distance, hinge on deviations and off-diagonal
// covariance, and Barlow Twins' cross-correlation.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// Elements whose squares are summed without a join, so that a sum depends on the sizes only.
inline int64_t squares_chunk(int64_t count) {
  const int64_t even = (count + 1023) / 1024;
  return even < 8192 ? 8192 : even;
}
inline int64_t squares_chunks(int64_t count) { return (count + squares_chunk(count) - 1) / squares_chunk(count); }

// loss = 1/count Σ (a − b)².
struct MeanSquared {
  In a, b;
  Out loss;  // (1), the accumulator's dtype, as are all losses and statistics here
  int64_t count;
};
GESTALT_KERNEL(MeanSquared)
inline Cost cost(const MeanSquared& k) { return {.bytes = traffic(k.count, k.a, k.b), .loss = true}; }
inline int64_t scratch_bytes(const MeanSquared& k, Device) { return squares_chunks(k.count) * size_of(DType::f64); }

// da = dloss · 2/count · (a − b), db = −da.
struct MeanSquaredBackward {
  In a, b, dloss;
  Out da, db;  // either may be absent
  int64_t count;
};
GESTALT_KERNEL(MeanSquaredBackward)
inline Cost cost(const MeanSquaredBackward& k) {
  return {.bytes = traffic(k.count, k.a, k.b, k.da, k.db), .loss = true};
}

// Of each of `views` rows of z and each of `count` numbers, the squared distance from μ, averaged. μ is the mean of the
// first `centres` views.
struct ViewDistance {
  In z;  // (views, count)
  Out loss;
  int64_t views, centres, count;
};
GESTALT_KERNEL(ViewDistance)
inline Cost cost(const ViewDistance& k) { return {.bytes = traffic(k.views * k.count, k.z), .loss = true}; }
inline int64_t scratch_bytes(const ViewDistance& k, Device) { return squares_chunks(k.count) * size_of(DType::f64); }

// dz_v = dloss · 2 / (views · count) · (z_v − μ − [v < centres] · Σ_u (z_u − μ) / centres).
struct ViewDistanceBackward {
  In z, dloss;
  Out dz;
  int64_t views, centres, count;
};
GESTALT_KERNEL(ViewDistanceBackward)
inline Cost cost(const ViewDistanceBackward& k) {
  return {.bytes = traffic(k.views * k.count, k.z, k.dz), .loss = true};
}

// loss = mean_j max(0, target − std_j), std_j = √(unbiased variance of column j + eps).
struct VarianceHinge {
  In z;           // (rows, columns), rows of 2 or more
  Out mean, std;  // (columns)
  Out loss;       // (1)
  int64_t rows, columns;
  double target, eps;
};
GESTALT_KERNEL(VarianceHinge)
inline Cost cost(const VarianceHinge& k) { return {.bytes = 2 * traffic(k.rows * k.columns, k.z), .loss = true}; }

// dz_ij = −dloss / (columns · (rows − 1)) · (z_ij − mean_j) / std_j where std_j < target, else 0.
struct VarianceHingeBackward {
  In z, mean, std, dloss;
  Out dz;
  int64_t rows, columns;
  double target;
};
GESTALT_KERNEL(VarianceHingeBackward)
inline Cost cost(const VarianceHingeBackward& k) {
  return {.bytes = traffic(k.rows * k.columns, k.z, k.dz), .loss = true};
}

// y_ij = z_ij − mean of column j.
struct CentreColumns {
  In z;
  Out y;
  int64_t rows, columns;
};
GESTALT_KERNEL(CentreColumns)
inline Cost cost(const CentreColumns& k) {
  return {.bytes = 2 * traffic(k.rows * k.columns, k.z) + traffic(k.rows * k.columns, k.y), .loss = true};
}

// loss = 1/dim Σ_{i≠j} C_ij² with C = scale · products. off_diagonal = C with a diagonal of zeros; it may be products.
struct OffDiagonal {
  In products;       // (dim, dim), the accumulator's dtype
  Out off_diagonal;  // (dim, dim), or absent
  Out loss;          // (1)
  int64_t dim;
  double scale;
};
GESTALT_KERNEL(OffDiagonal)
inline Cost cost(const OffDiagonal& k) {
  return {.bytes = traffic(k.dim * k.dim, k.products, k.off_diagonal), .loss = true};
}
inline int64_t scratch_bytes(const OffDiagonal& k, Device) { return k.dim * size_of(DType::f64); }

// With c = scale · products: loss = Σ_i (c_ii − 1)² + off_weight Σ_{i≠j} c_ij² (Zbontar et al. 2021, equation 1) and
// slope = ∂loss/∂c, which may be products.
struct CrossCorrelation {
  In products;               // (dim, dim), the accumulator's dtype
  Out slope;                 // (dim, dim), or absent
  Out loss;                  // (1)
  Out diagonal, redundancy;  // (1): the means of c_ii and of |c_ij| for i ≠ j
  int64_t dim;
  double scale, off_weight;
};
GESTALT_KERNEL(CrossCorrelation)
inline Cost cost(const CrossCorrelation& k) {
  return {.bytes = traffic(k.dim * k.dim, k.products, k.slope), .loss = true};
}
// Of each row its part of the loss, c_ii and Σ|c_ij|.
inline int64_t scratch_bytes(const CrossCorrelation& k, Device) { return 3 * k.dim * size_of(DType::f64); }

// y = factor[0] · scale · x, rounded to y's dtype.
struct ScaleBy {
  In x, factor;  // the accumulator's dtype
  Out y;
  double scale;
  int64_t count;
};
GESTALT_KERNEL(ScaleBy)
inline Cost cost(const ScaleBy& k) { return {.bytes = traffic(k.count, k.x, k.y), .loss = true}; }

}  // namespace gestalt::kernels
