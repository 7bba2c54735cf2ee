// Matrix products on the CPU: oneDNN for f32 and bf16 (in f32, where the processor has no bf16), a plain loop for f64.
#include "kernels/product.h"

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/elementwise.h"

namespace gestalt::kernels::cpu {
namespace {

void plain_product(const Product& k) {
  const double *a = k.a.as<double>(), *b = k.b.as<double>(), *bias = k.bias.as<double>();
  double* c = k.c.as<double>();
  parallel_ranges(k.batch * k.m, 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t i = row % k.m;
      const double *am = a + row / k.m * k.m * k.k, *bm = b + row / k.m * k.k * k.n;
      for (int64_t j = 0; j < k.n; ++j) {
        double sum = bias ? bias[j] : 0;
        for (int64_t l = 0; l < k.k; ++l)
          sum += am[k.transpose_a ? l * k.m + i : i * k.k + l] * bm[k.transpose_b ? j * k.k + l : l * k.n + j];
        c[row * k.n + j] = sum;
      }
    }
  });
}

// The operands of a bf16 product in f32, where the processor multiplies only that.
struct Widened {
  int64_t a_count, b_count, c_count;
  float *a, *b, *c = nullptr;  // c only where the result is to be rounded

  Widened(Scratch& scratch, const Product& k)
      : a_count(k.batch * k.m * k.k),
        b_count(k.batch * k.k * k.n),
        c_count(k.batch * k.m * k.n),
        a(scratch.take<float>(a_count)),
        b(scratch.take<float>(b_count)) {
    if (k.c.dtype == DType::bf16) c = scratch.take<float>(c_count);
  }
};

void widened_product(Product k, void* memory) {
  Scratch scratch(memory);
  const Widened wide(scratch, k);
  const Out c = k.c;
  k.a = widen(k.a, wide.a_count, wide.a);
  k.b = widen(k.b, wide.b_count, wide.b);
  if (wide.c) k.c = {wide.c, DType::f32};
  onednn::product(k);
  if (wide.c) narrow(wide.c, wide.c_count, c);
}

}  // namespace

int64_t scratch_bytes(const Product& k) { return is_widened(k.a.dtype) ? bytes_of<Widened>(k) : 0; }

void run(const Product& k, Stream stream) {
  if (k.a.dtype == DType::f64)
    plain_product(k);
  else if (is_widened(k.a.dtype))
    widened_product(k, stream.scratch);
  else
    onednn::product(k);
  if (k.gelu) run(Pointwise{{k.c.data, k.c.dtype}, k.gelu, GeluTanh{}, k.batch * k.m * k.n}, stream);
}

}  // namespace gestalt::kernels::cpu
