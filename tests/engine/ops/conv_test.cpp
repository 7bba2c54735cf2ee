// Convolution, where the op table's small shapes do not reach: tiles, filters and groups of images that threads share
// out in several ways.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/ops/conv.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/random.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

// Results of one convolution: y, dx, dw.
std::vector<std::vector<double>> convolve(const Tensor& x, const Tensor& w, const Tensor& dy, DType dtype,
                                          int64_t stride = 1, int64_t padding = 1) {
  const Tensor image = x.to(dtype).clone().require_grad(), filters = w.to(dtype).clone().require_grad();
  const Tensor y = conv2d(image, filters, stride, padding);
  y.backward(dy.to(dtype));
  return {y.values64(), image.grad().values64(), filters.grad().values64()};
}

double largest_error(const std::vector<double>& got, const std::vector<double>& expected) {
  double scale = 0, error = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    scale += expected[i] * expected[i] / static_cast<double>(expected.size());
    error = std::max(error, std::fabs(got[i] - expected[i]));
  }
  return error / std::sqrt(scale);
}

// What f32 may be off by, as largest_error has it, in sums of `count` products. One product after another, roundings of
// partial sums as large as √k add up to a deviation of 2⁻²⁴ √(count / 6); the largest of thousands is some 4 of them,
// and this allows 8. Where sums are short, Winograd's transforms decide.
double f32_tolerance(int64_t count) {
  return std::max(1e-5, 8 * std::ldexp(1.0, -24) * std::sqrt(static_cast<double>(count) / 6));
}

}  // namespace

TEST_CASE("conv2d: f32 equals the plain loop of f64, and the same bits on any number of threads") {
  struct Shape {
    int64_t batch, side, ins, outs, kernel = 3, stride = 1;
  };
  // Of Winograd's 1,280 tiles in two parts; its 36 tiles, fewer than filters, and a last panel half as wide; the same
  // two of those that skip pixels, an odd number of them, and one part that threads share; a result that goes past the
  // caches; groups of images and of their filters, which skip pixels; the same with few outputs.
  for (const Shape& s : {Shape{20, 32, 16, 16}, Shape{9, 8, 48, 80}, Shape{65, 31, 16, 16, 3, 2},
                         Shape{9, 15, 48, 80, 3, 2}, Shape{12, 16, 16, 48, 3, 2}, Shape{48, 64, 16, 16},
                         Shape{21, 16, 12, 20, 3, 2}, Shape{5, 24, 3, 16, 7, 2}, Shape{40, 8, 32, 64, 1, 2}}) {
    Random random(3);
    const int64_t padding = s.kernel / 2, side = (s.side + 2 * padding - s.kernel) / s.stride + 1;
    const Tensor x = random.normal({s.batch, s.side, s.side, s.ins}, 0, 1);
    const Tensor w = random.normal({s.outs, s.kernel, s.kernel, s.ins}, 0, 1);
    const Tensor dy = random.normal({s.batch, side, side, s.outs}, 0, 1);
    const int64_t taps = s.kernel * s.kernel, products[] = {taps * s.ins, taps * s.outs, s.batch * side * side};
    const auto on = [&](int threads, DType dtype) {
      const Threads team(threads);
      return convolve(x, w, dy, dtype, s.stride, padding);
    };
    const auto expected = on(1, DType::f64), one = on(1, DType::f32), rounded = on(1, DType::bf16);
    CAPTURE(s.outs);
    for (size_t i = 0; i < one.size(); ++i) CHECK(largest_error(one[i], expected[i]) < f32_tolerance(products[i]));
    for (const int threads : {2, 3, 5}) {
      CHECK(on(threads, DType::f32) == one);
      CHECK(on(threads, DType::bf16) == rounded);
    }
  }
}

TEST_CASE("conv2d: filters of 1 × 1 that skip pixels, narrow and on several threads") {
  struct Shape {
    int64_t height, width, ins, outs, stride, padding;
  };
  std::vector<Shape> shapes{{9, 7, 5, 3, 3, 0}, {6, 5, 4, 4, 2, 1}, {16, 16, 32, 64, 2, 0}};
  for (int64_t width = 1; width <= 8; ++width) shapes.push_back({16, 16, width, 2 * width, 2, 0});  // of a ResNet
  for (const Shape& s : shapes) {
    Random random(4);
    const Tensor x = random.normal({5, s.height, s.width, s.ins}, 0, 1), w = random.normal({s.outs, 1, 1, s.ins}, 0, 1);
    const int64_t rows = (s.height + 2 * s.padding - 1) / s.stride + 1;
    const int64_t columns = (s.width + 2 * s.padding - 1) / s.stride + 1;
    const Tensor dy = random.normal({5, rows, columns, s.outs}, 0, 1);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      // The definition, of the numbers that bf16 has kept.
      const auto kept = [&](const Tensor& t) { return t.to(dtype).to(DType::f64); };
      const auto expected = convolve(kept(x), kept(w), kept(dy), DType::f64, s.stride, s.padding);
      for (const int threads : {1, 2}) {
        const Threads team(threads);
        const auto got = convolve(x, w, dy, dtype, s.stride, s.padding);
        for (size_t i = 0; i < got.size(); ++i) {
          CAPTURE(s.ins);
          CAPTURE(threads);
          CAPTURE(i);
          // bf16 rounds a result of up to 8 times the mean by 2⁻⁹ to 2⁻⁸ of it.
          CHECK(largest_error(got[i], expected[i]) < (dtype == DType::f32 ? 1e-5 : 1.0 / 32));
        }
      }
    }
  }
}

}  // namespace gestalt::test
