// Points: rows on the host as clusterings see them, with sums whose order no thread changes.
#pragma once

#include <functional>
#include <numeric>
#include <vector>

#include "engine/tensor/tensor.h"
#include "kernels/cpu/parallel.h"

namespace gestalt {

// Rows of unit length or, since distances then lose fewer digits, less their mean.
struct Points {
  // A copy of (N, D) of any float dtype and from any device. Throws Error, as `op`, unless all are finite.
  Points(const char* op, const Tensor& given, bool spherical);

  // Moves rows (M, D) of the given space to that of x, and back; directions stay as they are.
  void place(Tensor& given) const;
  void place_back(Tensor& placed) const;
  const float* row(int64_t i) const { return x.data<float>() + i * dim; }

  // Calls f(first, products) for blocks of rows, with their products (count, M) with `others` (M, D), plus `bias` (M).
  void for_each_block(const Tensor& others, const Tensor& bias,
                      const std::function<void(int64_t first, const Tensor& products)>& f) const;

  Tensor x;  // (N, D) f32
  int64_t rows, dim;
  bool spherical;
  std::vector<double> mean;     // what was taken off; empty where spherical
  std::vector<double> squares;  // (N), ‖x‖²
  double variance;              // mean over the columns
};

// ‖a − b‖², or ‖a‖² without b.
double squared_distance(const float* a, const float* b, int64_t count);
// Gives the row unit length; one without direction becomes 0.
void to_unit_length(float* row, int64_t dim);

constexpr int64_t sum_rows = 2048;  // that are summed apart

// Calls f(begin, end, part) on fixed ranges of the rows, in any order.
template <class F>
void for_each_part(int64_t rows, F&& f) {
  kernels::cpu::parallel_ranges((rows + sum_rows - 1) / sum_rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) f(part * sum_rows, std::min(rows, (part + 1) * sum_rows), part);
  });
}

// The sum of value(i) over the rows; `parts`, where given, gets the sums of their ranges.
template <class F>
double ordered_sum(int64_t rows, F&& value, std::vector<double>* parts = nullptr) {
  std::vector<double> own;
  std::vector<double>& sums = parts ? *parts : own;
  sums.assign((rows + sum_rows - 1) / sum_rows, 0.0);
  for_each_part(rows, [&](int64_t begin, int64_t end, int64_t part) {
    double sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += value(i);
    sums[part] = sum;
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace gestalt
