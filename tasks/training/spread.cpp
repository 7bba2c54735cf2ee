// The collapse meter, in f64 on the host.
#include "tasks/training/spread.h"

#include <algorithm>
#include <cmath>

#include "engine/nn/eigen.h"
#include "kernels/cpu/parallel.h"

namespace gestalt {
namespace {

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// XᵀX of x (rows, dim), whole.
std::vector<double> gram(const std::vector<double>& x, int64_t rows, int64_t dim) {
  std::vector<double> g(dim * dim, 0.0);
  constexpr int64_t depth = 8;  // rows of x for one pass over g
  std::vector<double> padded(x);
  const int64_t passes = (rows + depth - 1) / depth;
  padded.resize(passes * depth * dim, 0.0);
  kernels::cpu::parallel_ranges(dim, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double* out = g.data() + i * dim;
      for (int64_t p = 0; p < passes; ++p) {
        const double* base = padded.data() + p * depth * dim;
#pragma omp simd
        for (int64_t j = 0; j <= i; ++j) {
          double sum = 0;
          for (int64_t r = 0; r < depth; ++r) sum += base[r * dim + i] * base[r * dim + j];
          out[j] += sum;
        }
      }
    }
  });
  for (int64_t i = 0; i < dim; ++i)
    for (int64_t j = 0; j < i; ++j) g[j * dim + i] = g[i * dim + j];
  return g;
}

double scaled_std(const std::vector<double>& x, int64_t rows, int64_t dim) {
  std::vector<double> sum(dim, 0.0), squares(dim, 0.0);
  for (int64_t i = 0; i < rows; ++i) {
    const double* row = x.data() + i * dim;
    const double norm = std::sqrt(dot(row, row, dim)), inverse = norm > 1e-12 ? 1 / norm : 0;
#pragma omp simd
    for (int64_t d = 0; d < dim; ++d) {
      const double u = row[d] * inverse;
      sum[d] += u;
      squares[d] += u * u;
    }
  }
  double total = 0;
  for (int64_t d = 0; d < dim; ++d) {
    const double mean = sum[d] / rows;
    total += std::sqrt(std::max(0.0, squares[d] / rows - mean * mean));
  }
  return total / dim * std::sqrt(static_cast<double>(dim));
}

double effective_rank(const std::vector<double>& x, int64_t all_rows, int64_t dim, int64_t rank_rows) {
  const int64_t rows = std::min(all_rows, std::max<int64_t>(1, rank_rows));
  const bool wide = dim > rows;  // then X Xᵀ is the smaller matrix, with the same singular values
  const int64_t n = wide ? rows : dim, m = wide ? dim : rows;
  std::vector<double> tall(m * n);  // (m, n)
  for (int64_t i = 0; i < rows; ++i) {
    const double* row = x.data() + i * all_rows / rows * dim;
    for (int64_t d = 0; d < dim; ++d) tall[wide ? d * n + i : i * n + d] = row[d];
  }
  const std::vector<double> products = gram(tall, m, n);
  for (int64_t i = 0; i < n; ++i)
    if (!std::isfinite(products[i * n + i])) return NAN;
  std::vector<double> singular = symmetric_eigenvalues(products, n);
  double sum = 0, entropy = 0;
  for (double& s : singular) sum += s = std::sqrt(std::max(0.0, s));
  if (!(sum > 0)) return 1;
  for (double s : singular)
    if (s > 0) entropy -= s / sum * std::log(s / sum);
  return std::exp(entropy);
}

}  // namespace

Spread spread(const Tensor& features, int64_t rank_rows) {
  check(features.rank() == 2 && features.dim(0) >= 1 && features.dim(1) >= 1,
        "[spread] got features {}, expected (N, D)", features.shape().text());
  const std::vector<double> x = features.values64();
  return {scaled_std(x, features.dim(0), features.dim(1)),
          effective_rank(x, features.dim(0), features.dim(1), rank_rows)};
}

}  // namespace gestalt
