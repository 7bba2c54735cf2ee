// Means down the columns of a (rows, columns) matrix, a strip of neighbouring columns at a time.
#pragma once

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/memory.h"

namespace gestalt::kernels::cpu {

constexpr int64_t strip = 64;  // columns that are summed together: fixed, so that sums do not depend on the threads

// Calls f(first column, columns) for each strip.
template <class F>
void for_each_strip(int64_t rows, int64_t columns, F&& f) {
  const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, rows * strip));
  parallel_ranges((columns + strip - 1) / strip, grain, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) f(s * strip, std::min(strip, columns - s * strip));
  });
}

// to[j] = mean over the rows of from[i, j], for one strip; `from` is its first element, `stride` the matrix's columns.
template <class T>
void strip_means(const T* from, int64_t rows, int64_t stride, int64_t width, Accumulator<T>* to) {
  using S = Accumulator<T>;
  std::fill_n(to, width, S(0));
  for (int64_t i = 0; i < rows; ++i) {
    const T* row = from + i * stride;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) to[j] += static_cast<S>(row[j]);
  }
  for (int64_t j = 0; j < width; ++j) to[j] /= static_cast<S>(rows);
}

}  // namespace gestalt::kernels::cpu
