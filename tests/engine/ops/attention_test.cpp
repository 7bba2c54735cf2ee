// Attention against the formula, written out with its whole matrix.
#include "engine/ops/attention.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/engine/ops/op_table.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

// softmax(q·kᵀ / √D)·v of one (B, T, 3, H, D) tensor.
std::vector<double> attend(const Tensor& qkv, bool causal) {
  const int64_t batch = qkv.dim(0), length = qkv.dim(1), heads = qkv.dim(3), dim = qkv.dim(4);
  const std::vector<double> x = qkv.values64();
  auto at = [&](int64_t b, int64_t t, int64_t part, int64_t h) {
    return x.data() + (((b * length + t) * 3 + part) * heads + h) * dim;
  };
  std::vector<double> y(batch * length * heads * dim, 0);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t t = 0; t < length; ++t) {
        std::vector<double> p(causal ? t + 1 : length);
        double sum = 0;
        for (size_t u = 0; u < p.size(); ++u) {
          double score = 0;
          for (int64_t d = 0; d < dim; ++d) score += at(b, t, 0, h)[d] * at(b, u, 1, h)[d];
          sum += p[u] = std::exp(score / std::sqrt(dim));
        }
        for (size_t u = 0; u < p.size(); ++u)
          for (int64_t d = 0; d < dim; ++d)
            y[((b * length + t) * heads + h) * dim + d] += p[u] / sum * at(b, u, 2, h)[d];
      }
  return y;
}

}  // namespace

TEST_CASE("attention equals its formula") {
  for (int64_t length : {1, 5, 64, 65, 150})
    for (int64_t dim : {3, 32, 40})
      for (bool causal : {false, true}) {
        CAPTURE(length);
        CAPTURE(dim);
        CAPTURE(causal);
        const Tensor qkv = draw_inputs({activation({2, length, 3, 2, dim})}, DType::f64, 17)[0].detach();
        const Tensor y = attention(qkv, causal), z = attention(qkv.to(DType::f32), causal);
        const Tensor expected = Tensor::from(attend(qkv, causal), {2, length, 2 * dim});
        CHECK(relative_error(y, expected) < 1e-12);
        CHECK(relative_error(z, expected) < 2e-6);
      }
}

TEST_CASE("cached attention, a few positions at a time, equals causal attention of the whole") {
  const int64_t length = 70;
  const Tensor whole = draw_inputs({activation({1, length, 3, 2, 8})}, DType::f64, 5)[0].detach();
  const Tensor expected = attention(whole, true).reshape({length, 16});
  Tensor cache = Tensor::full({1, length + 3, 2, 2, 8}, std::nan(""), DType::f64);  // unfilled rows must not be read
  const Tensor rows = whole.reshape({length, 3, 2, 8});
  for (int64_t first = 0, step = 1; first < length; first += step, step = std::min(2 * step, length - first)) {
    const Tensor part = rows.slice(first, first + step).reshape({1, step, 3, 2, 8});
    const Tensor y = cached_attention(part, cache, first).reshape({step, 16});
    CHECK(relative_error(y, expected.slice(first, first + step)) < 1e-12);
  }
}

TEST_CASE("attention does not depend on the number of threads") {
  auto results = [](int threads) {
    const Threads team(threads);
    const Tensor x = draw_inputs({activation({3, 70, 3, 2, 8})}, DType::f32, 4)[0];
    const Tensor y = attention(x, true);
    y.backward(Tensor::full(y.shape(), 0.3));
    return std::vector<std::vector<float>>{y.values(), x.grad().values()};
  };
  CHECK(results(1) == results(3));
}

}  // namespace gestalt::test
