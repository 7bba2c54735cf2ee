// Matrix products on the CPU: oneDNN for f32 and bf16, a plain loop for f64.
#include "kernels/product.h"

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

}  // namespace

void run(const Product& k, Stream stream) {
  k.a.dtype == DType::f64 ? plain_product(k) : onednn::product(k);
  if (k.gelu) run(Pointwise{{k.c.data, k.c.dtype}, k.gelu, GeluTanh{}, k.batch * k.m * k.n}, stream);
}

}  // namespace gestalt::kernels::cpu
