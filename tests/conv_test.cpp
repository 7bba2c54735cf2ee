// Convolution, where the op table's small shapes do not reach: many tiles, which threads share out in several ways.
#include <doctest/doctest.h>
#include <omp.h>

#include <cmath>

#include "engine/autograd.h"
#include "engine/ops/conv.h"
#include "engine/random.h"

namespace gestalt::test {
namespace {

constexpr int64_t batch = 20, side = 32, channels = 16;  // 1,280 tiles of 4 × 4

// dw by the definition, in f64: dw[o, i, j, c] = Σ dy[n, y, x, o] · x[n, y + i − 1, x + j − 1, c].
std::vector<double> filter_gradient(const std::vector<double>& x, const std::vector<double>& dy) {
  std::vector<double> dw(channels * 9 * channels);
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t top = 0; top < side; ++top)
      for (int64_t left = 0; left < side; ++left)
        for (int64_t tap = 0; tap < 9; ++tap) {
          const int64_t y = top + tap / 3 - 1, z = left + tap % 3 - 1;
          if (y < 0 || y >= side || z < 0 || z >= side) continue;
          const double* pixel = &x[((n * side + y) * side + z) * channels];
          const double* slope = &dy[((n * side + top) * side + left) * channels];
          for (int64_t o = 0; o < channels; ++o)
            for (int64_t c = 0; c < channels; ++c) dw[(o * 9 + tap) * channels + c] += slope[o] * pixel[c];
        }
  return dw;
}

}  // namespace

TEST_CASE("conv2d: the gradient of filters is the definition's, however threads share the tiles") {
  Random random(3);
  const Tensor x = random.normal({batch, side, side, channels}, 0, 1);
  const Tensor dy = random.normal({batch, side, side, channels}, 0, 1);
  const std::vector<double> expected = filter_gradient(x.values64(), dy.values64());
  double scale = 0;
  for (const double e : expected) scale += e * e / static_cast<double>(expected.size());
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    Tensor w = Tensor::zeros({channels, 3, 3, channels}).require_grad();
    conv2d(x, w, 1, 1).backward(dy);
    const std::vector<double> got = w.grad().values64();
    double error = 0;
    for (size_t i = 0; i < got.size(); ++i) error = std::max(error, std::fabs(got[i] - expected[i]));
    CAPTURE(threads);
    CHECK(error < 1e-5 * std::sqrt(scale));
  }
  omp_set_num_threads(before);
}

}  // namespace gestalt::test
