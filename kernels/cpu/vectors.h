// Products and sums of short f64 vectors, for factorisations on the host.
#pragma once

#include <cstdint>

namespace gestalt::kernels::cpu {

inline double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// y += f · x
inline void add_scaled(double f, const double* x, double* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += f * x[i];
}

}  // namespace gestalt::kernels::cpu
