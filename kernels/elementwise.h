// Kernels that treat memory as a flat list of elements.
#pragma once

#include <algorithm>

#include "kernels/launch.h"
#include "kernels/pointwise.h"

namespace gestalt::kernels {

// y = value, any dtype.
struct Fill {
  Out y;
  double value;
  int64_t count;
};
GESTALT_KERNEL(Fill)
inline Cost cost(const Fill& k) { return {.bytes = traffic(k.count, k.y)}; }

// y = x, converted to y's dtype (any pair of f32, bf16, f64; u8 and i32 to those; equal dtypes).
struct Convert {
  In x;
  Out y;
  int64_t count;
};
GESTALT_KERNEL(Convert)
inline Cost cost(const Convert& k) { return {.bytes = traffic(k.count, k.x, k.y)}; }

// y = a_scale·a + b_scale·b. y may be a or b. The inputs may differ in dtype from y.
struct Combine {
  In a, b;
  Out y;
  double a_scale, b_scale;
  int64_t count;
};
GESTALT_KERNEL(Combine)
inline Cost cost(const Combine& k) { return {.bytes = traffic(k.count, k.a, k.b, k.y)}; }

// y = a·b.
struct Multiply {
  In a, b;
  Out y;
  int64_t count;
};
GESTALT_KERNEL(Multiply)
inline Cost cost(const Multiply& k) { return {.bytes = traffic(k.count, k.a, k.b, k.y)}; }

// y = f(x) of a pointwise formula.
struct Pointwise {
  In x;
  Out y;
  Formula formula;
  int64_t count;
};
GESTALT_KERNEL(Pointwise)
inline Cost cost(const Pointwise& k) { return {.bytes = traffic(k.count, k.x, k.y)}; }

// dx = dy · f'(x).
struct PointwiseBackward {
  In x, dy;
  Out dx;
  Formula formula;
  int64_t count;
};
GESTALT_KERNEL(PointwiseBackward)
inline Cost cost(const PointwiseBackward& k) { return {.bytes = traffic(k.count, k.x, k.dy, k.dx)}; }

// y[0] = scale · Σ x, summed in f64 in a fixed order.
struct Sum {
  In x;
  Out y;
  double scale;
  int64_t count;
};
GESTALT_KERNEL(Sum)
inline Cost cost(const Sum& k) { return {.bytes = traffic(k.count, k.x)}; }

// CUDA: sums of `parts` parts of `chunk` elements, joined in their order.
struct SumSplit {
  int64_t chunk, parts;

  explicit SumSplit(int64_t count)
      : chunk(std::max<int64_t>(8192, divide_up(count, 1024))), parts(std::max<int64_t>(1, divide_up(count, chunk))) {}
};
inline int64_t scratch_bytes(const Sum& k, Device device) {
  return device == Device::cuda ? SumSplit(k.count).parts * size_of(DType::f64) : 0;
}

// y[j] (+)= Σ_i x[i, j]: column sums of a (rows, columns) matrix, the gradient of a bias.
struct ColumnSum {
  In x;
  Out y;  // (columns), the accumulator's dtype
  int64_t rows, columns;
};
GESTALT_KERNEL(ColumnSum)
inline Cost cost(const ColumnSum& k) { return {.bytes = traffic(k.rows * k.columns, k.x)}; }

// CUDA: a block sums `rows_per_split` rows of a strip of 32 packs of columns, reading `strip_rows` of them at once.
// Splits are a function of the operand alone, so the order of the sum is too.
struct ColumnSumSplit {
  static constexpr int strip_rows = 8;
  bool wide;  // packs of four columns, else of one
  int64_t strips, rows_per_split, splits;

  template <class... Operands>  // of (rows, columns) each
  ColumnSumSplit(int64_t some_rows, int64_t columns, const Operands&... operands)
      : wide(columns % 4 == 0 && ((reinterpret_cast<uintptr_t>(operands.data) % 16 == 0) && ...)),
        strips(std::max<int64_t>(1, divide_up(columns, wide ? 128 : 32))) {
    const int64_t rows = std::max<int64_t>(1, some_rows);
    rows_per_split = divide_up(rows, std::min(divide_up(1024, strips), divide_up(rows, 4 * strip_rows)));
    splits = divide_up(rows, rows_per_split);
  }
  int64_t scratch_bytes(int64_t columns, Device device) const {
    return device == Device::cuda && splits > 1 ? splits * columns * size_of(DType::f32) : 0;
  }
};
inline ColumnSumSplit split_of(const ColumnSum& k) { return {k.rows, k.columns, k.x}; }
inline int64_t scratch_bytes(const ColumnSum& k, Device device) { return split_of(k).scratch_bytes(k.columns, device); }

// dx = dy · f'(x) of (rows, columns) matrices, and sums[j] = Σ_i dx[i, j] in the same pass: what a linear layer needs
// whose result a formula takes, with the gradient of its bias.
struct PointwiseBackwardSums {
  In x, dy;
  Out dx;
  Out sums;  // (columns), the accumulator's dtype
  Formula formula;
  int64_t rows, columns;
};
GESTALT_KERNEL(PointwiseBackwardSums)
inline Cost cost(const PointwiseBackwardSums& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.dy, k.dx)}; }
inline ColumnSumSplit split_of(const PointwiseBackwardSums& k) { return {k.rows, k.columns, k.x, k.dy, k.dx}; }
inline int64_t scratch_bytes(const PointwiseBackwardSums& k, Device device) {
  return split_of(k).scratch_bytes(k.columns, device);
}

// y[i, j] = x[i, j] + row[j]. y may be x. `row` is of the accumulator's dtype.
struct AddRow {
  In x, row;
  Out y;
  int64_t rows, columns;
};
GESTALT_KERNEL(AddRow)
inline Cost cost(const AddRow& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.y)}; }

}  // namespace gestalt::kernels
