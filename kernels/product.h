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
  Out gelu = {};         // GELU of c in GPT-2's form, of c's shape and dtype, or absent
  In rounded_bias = {};  // the bias in c's dtype, if it is at hand; used on CUDA alone
};
GESTALT_KERNEL(Product)
inline Cost cost(const Product& k) {
  return {
      .flops = 2 * real(k.batch) * real(k.m) * real(k.n) * real(k.k),
      .bytes = traffic(k.batch * k.m * k.k, k.a) + traffic(k.batch * k.k * k.n, k.b) +
               traffic(k.batch * k.m * k.n, k.c, k.gelu),
      .shape = fmt::format("{}{}·{} × {}·{}{}", k.batch > 1 ? fmt::format("{} of ", k.batch) : "", k.m, k.k, k.k, k.n,
                           k.transpose_a   ? " (aᵀ)"
                           : k.transpose_b ? " (bᵀ)"
                                           : "")};
}
// CPU: bf16 operands in f32, where the processor multiplies only that; sums of parts of the depth.
GESTALT_ON_CPU_DECLARE(int64_t scratch_bytes(const Product&))
// CUDA: cuBLASLt wants a bias of the result's dtype, at a multiple of 16 bytes.
inline bool has_rounded_bias(const Product& k) {
  return k.rounded_bias.dtype == k.c.dtype && k.rounded_bias &&
         reinterpret_cast<uintptr_t>(k.rounded_bias.data) % 16 == 0;
}
inline int64_t scratch_bytes(const Product& k, Device device) {
  if (device == Device::cpu) return GESTALT_ON_CPU(scratch_bytes(k));
  return k.bias && k.c.dtype != DType::f32 && !has_rounded_bias(k) ? k.n * size_of(k.c.dtype) : 0;
}

}  // namespace gestalt::kernels
