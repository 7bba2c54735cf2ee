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

// y = x, converted to y's dtype (any pair of f32, bf16, f64; u8 and i32 to those; equal dtypes).
struct Convert {
  In x;
  Out y;
  int64_t count;
};
GESTALT_KERNEL(Convert)

// y = a_scale·a + b_scale·b. y may be a or b. The inputs may differ in dtype from y.
struct Combine {
  In a, b;
  Out y;
  double a_scale, b_scale;
  int64_t count;
};
GESTALT_KERNEL(Combine)

// y = a·b.
struct Multiply {
  In a, b;
  Out y;
  int64_t count;
};
GESTALT_KERNEL(Multiply)

// y = f(x) of a pointwise formula.
struct Pointwise {
  In x;
  Out y;
  Formula formula;
  int64_t count;
};
GESTALT_KERNEL(Pointwise)

// dx = dy · f'(x).
struct PointwiseBackward {
  In x, dy;
  Out dx;
  Formula formula;
  int64_t count;
};
GESTALT_KERNEL(PointwiseBackward)

// y[0] = scale · Σ x, summed in f64 in a fixed order.
struct Sum {
  In x;
  Out y;
  double scale;
  int64_t count;
};
GESTALT_KERNEL(Sum)

// y[j] (+)= Σ_i x[i, j]: column sums of a (rows, columns) matrix, the gradient of a bias.
struct ColumnSum {
  In x;
  Out y;  // (columns), the accumulator's dtype
  int64_t rows, columns;
};
GESTALT_KERNEL(ColumnSum)

// y[i, j] = x[i, j] + row[j]. y may be x. `row` is of the accumulator's dtype.
struct AddRow {
  In x, row;
  Out y;
  int64_t rows, columns;
};
GESTALT_KERNEL(AddRow)

}  // namespace gestalt::kernels
