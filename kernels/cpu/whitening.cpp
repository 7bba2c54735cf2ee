// Whitening on the CPU, in f64: the matrices are small, and their condition is the data's.
#include "kernels/whitening.h"

#include <cmath>
#include <vector>

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// y += f · x
void add_scaled(double f, const double* x, double* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += f * x[i];
}

// Column after column of a (rows, dim) group less its mean, in f64.
template <class S>
void centred_columns(const S* from, int64_t rows, int64_t dim, double* to) {
  for (int64_t j = 0; j < dim; ++j) {
    double* column = to + j * rows;
    double sum = 0;
    for (int64_t i = 0; i < rows; ++i) sum += column[i] = static_cast<double>(from[i * dim + j]);
    const double mean = sum / real(rows);
    for (int64_t i = 0; i < rows; ++i) column[i] -= mean;
  }
}

// The lower triangle of a (dim, dim) becomes its Cholesky factor, row after row.
void factorise(double* a, int64_t dim) {
  for (int64_t i = 0; i < dim; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      const double rest = a[i * dim + j] - dot(a + i * dim, a + j * dim, j);
      a[i * dim + j] = i == j ? std::sqrt(std::max(rest, least_pivot)) : rest / a[j * dim + j];
    }
}

template <class S>
void whiten(const Whiten& k, int64_t group, double* columns) {
  const int64_t rows = k.rows, dim = k.dim;
  centred_columns(k.z.as<S>() + group * rows * dim, rows, dim, columns);
  std::vector<double> factor(static_cast<size_t>(dim * dim), 0.0);
  const double share = (1 - k.shrink) / real(rows - 1);
  for (int64_t i = 0; i < dim; ++i)
    for (int64_t j = 0; j <= i; ++j)
      factor[i * dim + j] = share * dot(columns + i * rows, columns + j * rows, rows) + (i == j ? k.shrink : 0);
  factorise(factor.data(), dim);
  // y·Lᵀ = x, column after column.
  S* y = k.y.as<S>() + group * rows * dim;
  for (int64_t j = 0; j < dim; ++j) {
    double* column = columns + j * rows;
    for (int64_t l = 0; l < j; ++l) add_scaled(-factor[j * dim + l], columns + l * rows, column, rows);
    for (int64_t i = 0; i < rows; ++i) y[i * dim + j] = static_cast<S>(column[i] /= factor[j * dim + j]);
  }
  S* to = k.factor.as<S>() + group * dim * dim;
  for (int64_t i = 0; i < dim * dim; ++i) to[i] = static_cast<S>(factor[i]);
}

template <class S>
void whiten_backward(const WhitenBackward& k, int64_t group, double* columns) {
  const int64_t rows = k.rows, dim = k.dim;
  const S *y = k.y.as<S>() + group * rows * dim, *dy = k.dy.as<S>() + group * rows * dim;
  const S* factor = k.factor.as<S>() + group * dim * dim;
  std::vector<double> given(static_cast<size_t>(rows * dim)), slope(given.size());  // y and dy by columns
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < dim; ++j) {
      given[j * rows + i] = static_cast<double>(y[i * dim + j]);
      columns[j * rows + i] = slope[j * rows + i] = static_cast<double>(dy[i * dim + j]);
    }
  // dy − share · y·H, an entry of H's lower triangle serving two columns.
  const double share = (1 - k.shrink) / real(rows - 1);
  for (int64_t i = 0; i < dim; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      const double h = -share * dot(slope.data() + i * rows, given.data() + j * rows, rows);
      add_scaled(h, given.data() + j * rows, columns + i * rows, rows);
      if (i != j) add_scaled(h, given.data() + i * rows, columns + j * rows, rows);
    }
  // dx·L = that, the last column first.
  for (int64_t j = dim - 1; j >= 0; --j) {
    double* column = columns + j * rows;
    for (int64_t l = j + 1; l < dim; ++l)
      add_scaled(-static_cast<double>(factor[l * dim + j]), columns + l * rows, column, rows);
    double sum = 0;
    for (int64_t i = 0; i < rows; ++i) sum += column[i] /= static_cast<double>(factor[j * dim + j]);
    slope[j] = sum / real(rows);
  }
  S* dz = k.dz.as<S>() + group * rows * dim;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < dim; ++j) dz[i * dim + j] = static_cast<S>(columns[j * rows + i] - slope[j]);
}

// Calls f(S{}, group, its working memory) for each group.
template <class Args, class F>
void for_each_group(const Args& k, DType dtype, Stream stream, F&& f) {
  dispatch_float(dtype, [&](auto tag) {
    if constexpr (std::is_same_v<decltype(tag), BFloat16>) {
      fail("[whiten] got bf16, expected f32 or f64");
    } else {
      parallel_ranges(k.groups, 1, [&](int64_t begin, int64_t end) {
        for (int64_t g = begin; g < end; ++g) f(tag, g, static_cast<double*>(stream.scratch) + g * k.rows * k.dim);
      });
    }
  });
}

}  // namespace

void run(const Whiten& k, Stream stream) {
  for_each_group(k, k.z.dtype, stream,
                 [&](auto tag, int64_t group, double* columns) { whiten<decltype(tag)>(k, group, columns); });
}

void run(const WhitenBackward& k, Stream stream) {
  for_each_group(k, k.y.dtype, stream,
                 [&](auto tag, int64_t group, double* columns) { whiten_backward<decltype(tag)>(k, group, columns); });
}

}  // namespace gestalt::kernels::cpu
