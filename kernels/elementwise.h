// Kernels that treat memory as a flat list of elements.
#pragma once

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

// y[j] (+)= Σ_i x[i, j]: column sums of a (rows, columns) matrix, the gradient of a bias.
struct ColumnSum {
  In x;
  Out y;  // (columns), the accumulator's dtype
  int64_t rows, columns;
};
GESTALT_KERNEL(ColumnSum)
inline Cost cost(const ColumnSum& k) { return {.bytes = traffic(k.rows * k.columns, k.x)}; }

// y[i, j] = x[i, j] + row[j]. y may be x. `row` is of the accumulator's dtype.
struct AddRow {
  In x, row;
  Out y;
  int64_t rows, columns;
};
GESTALT_KERNEL(AddRow)
inline Cost cost(const AddRow& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.y)}; }

}  // namespace gestalt::kernels
