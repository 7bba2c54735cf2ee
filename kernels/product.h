// Matrix products and the linear layer's gradient, on a library (oneDNN, cuBLASLt) underneath.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// c = a_op · b_op (+ bias) for `batch` matrices that lie one after another; row-major.
// a_op is (m, k): a itself, or if transpose_a the transpose of a (k, m). b_op is (k, n): b, or the transpose of (n, k).
struct Product {
  In a, b;
  In bias;  // (n) in the accumulator's dtype, or absent
  Out c;    // (batch, m, n); f32 is allowed where a and b are bf16
  int64_t m, n, k;
  int64_t batch = 1;
  bool transpose_a = false, transpose_b = false;
  Out gelu = {};  // GELU of c in GPT-2's form, of c's shape and dtype, or absent
};
GESTALT_KERNEL(Product)

}  // namespace gestalt::kernels
