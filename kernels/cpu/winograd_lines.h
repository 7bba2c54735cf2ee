// The one-dimensional transforms of Winograd's convolutions, and what makes them two-dimensional. ../winograd.md has
// the algebra.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/tile_product.h"

namespace gestalt::kernels::cpu::winograd {

using Vector = Simd<float>::Vector;

template <size_t n>
using Line = std::array<Vector, n>;
template <size_t n>
using Square = std::array<Line<n>, n>;

// The two-dimensional transform: lines one way, then the other.
template <class L>
inline Square<L::out> transform(const Square<L::in>& x) {
  std::array<Line<L::in>, L::out> half;
  for (size_t column = 0; column < L::in; ++column) {
    Line<L::in> line;
    for (size_t i = 0; i < L::in; ++i) line[i] = x[i][column];
    const Line<L::out> made = L::of(line);
    for (size_t i = 0; i < L::out; ++i) half[i][column] = made[i];
  }
  Square<L::out> y;
  for (size_t i = 0; i < L::out; ++i) y[i] = L::of(half[i]);
  return y;
}

// Stride 1: F(4, 3) at the points 0, ±a, ±b and ∞. Of the usual choices these points round best: a result's error is
// twice that of the direct form, where that of 0, ±1, ±2 is five times (root mean square, 128 channels).
struct Whole {
  static constexpr float a = 0.625f, b = 1.5f, aa = a * a, bb = b * b;
  static constexpr float at_zero = 1 / (aa * bb), at_a = 1 / (2 * aa * (aa - bb)), at_b = 1 / (2 * bb * (bb - aa));

  struct Input {  // Bᵀ
    static constexpr size_t in = 6, out = 6;
    static Line<out> of(const Line<in>& d) {
      const Vector p = d[4] - bb * d[2], q = a * (d[3] - bb * d[1]), r = d[4] - aa * d[2], s = b * (d[3] - aa * d[1]);
      return {aa * bb * d[0] - (aa + bb) * d[2] + d[4], p + q, p - q, r + s, r - s,
              aa * bb * d[1] - (aa + bb) * d[3] + d[5]};
    }
  };
  struct Output {  // Aᵀ
    static constexpr size_t in = 6, out = 4;
    static Line<out> of(const Line<in>& m) {
      const Vector p = m[1] + m[2], q = a * (m[1] - m[2]), r = m[3] + m[4], s = b * (m[3] - m[4]);
      return {m[0] + p + r, q + s, aa * p + bb * r, aa * q + bb * s + m[5]};
    }
  };
  struct OutputGradient {  // A
    static constexpr size_t in = 4, out = 6;
    static Line<out> of(const Line<in>& y) {
      const Vector p = y[0] + aa * y[2], q = a * (y[1] + aa * y[3]), r = y[0] + bb * y[2], s = b * (y[1] + bb * y[3]);
      return {y[0], p + q, p - q, r + s, r - s, y[3]};
    }
  };
  struct Filter {  // G
    static constexpr size_t in = 3, out = 6;
    static Line<out> of(const Line<in>& g) {
      const Vector p = at_a * (g[0] + aa * g[2]), q = at_a * a * g[1], r = at_b * (g[0] + bb * g[2]),
                   s = at_b * b * g[1];
      return {at_zero * g[0], p + q, p - q, r + s, r - s, g[2]};
    }
  };
  struct FilterGradient {  // Gᵀ
    static constexpr size_t in = 6, out = 3;
    static Line<out> of(const Line<in>& m) {
      const Vector p = at_a * (m[1] + m[2]), q = at_a * (m[1] - m[2]), r = at_b * (m[3] + m[4]),
                   s = at_b * (m[3] - m[4]);
      return {at_zero * m[0] + p + r, a * q + b * s, aa * p + bb * r + m[5]};
    }
  };

  // The gradient of the input is such a convolution of the output's.
  static constexpr int64_t backward_margin = 1;
  using BackwardInput = Input;
  using BackwardOutput = Output;
};

// Stride 2: output i is taps 0 and 2 on the pixels 2i − 1 and 2i + 1, which is F(4, 2) on every other pixel at the
// points ±a, ±b and ∞, and tap 1 on pixel 2i, a product as it is: nine points a line, the last four of which have the
// same filter. These points round as the direct form does.
struct Strided {
  static constexpr float a = 0.5f, b = 1.25f, aa = a * a, bb = b * b;
  static constexpr float at_a = 1 / (2 * a * (aa - bb)), at_b = 1 / (2 * b * (bb - aa));

  static Line<5> pair_input(Vector d0, Vector d1, Vector d2, Vector d3, Vector d4) {  // Bᵀ
    const Vector p = d3 - bb * d1, q = a * (d2 - bb * d0), r = d3 - aa * d1, s = b * (d2 - aa * d0);
    return {p + q, p - q, r + s, r - s, aa * bb * d0 - (aa + bb) * d2 + d4};
  }
  template <size_t n>
  static Line<4> pair_output(const Line<n>& m) {  // Aᵀ
    const Vector p = m[0] + m[1], q = a * (m[0] - m[1]), r = m[2] + m[3], s = b * (m[2] - m[3]);
    return {p + r, q + s, aa * p + bb * r, aa * q + bb * s + m[4]};
  }

  struct Input {
    static constexpr size_t in = 9, out = 9;
    static Line<out> of(const Line<in>& d) {
      const Line<5> p = pair_input(d[0], d[2], d[4], d[6], d[8]);
      return {p[0], p[1], p[2], p[3], p[4], d[1], d[3], d[5], d[7]};
    }
  };
  struct Output {
    static constexpr size_t in = 9, out = 4;
    static Line<out> of(const Line<in>& m) {
      const Line<4> y = pair_output(m);
      return {y[0] + m[5], y[1] + m[6], y[2] + m[7], y[3] + m[8]};
    }
  };
  struct OutputGradient {
    static constexpr size_t in = 4, out = 9;
    static Line<out> of(const Line<in>& y) {  // A, and y itself
      const Vector p = y[0] + aa * y[2], q = a * (y[1] + aa * y[3]), r = y[0] + bb * y[2], s = b * (y[1] + bb * y[3]);
      return {p + q, p - q, r + s, r - s, y[3], y[0], y[1], y[2], y[3]};
    }
  };
  struct Filter {
    static constexpr size_t in = 3, out = 6;
    static Line<out> of(const Line<in>& g) {  // G of taps 0 and 2; tap 1
      const Vector p = at_a * g[0], q = at_a * a * g[2], r = at_b * g[0], s = at_b * b * g[2];
      return {q + p, q - p, s + r, s - r, g[2], g[1]};
    }
  };
  struct FilterGradient {
    static constexpr size_t in = 6, out = 3;
    static Line<out> of(const Line<in>& m) {
      const Vector p = at_a * (m[0] - m[1]), q = at_a * a * (m[0] + m[1]), r = at_b * (m[2] - m[3]),
                   s = at_b * b * (m[2] + m[3]);
      return {p + r, m[5], q + s + m[4]};
    }
  };

  // The gradient of the input: its pixels 2i + 1 are taps 2 and 0 on outputs i and i + 1, its pixels 2i are tap 1 on
  // output i.
  static constexpr int64_t backward_margin = 0;
  struct BackwardInput {
    static constexpr size_t in = 5, out = 9;
    static Line<out> of(const Line<in>& d) {
      const Line<5> p = pair_input(d[0], d[1], d[2], d[3], d[4]);
      return {p[0], p[1], p[2], p[3], p[4], d[0], d[1], d[2], d[3]};
    }
  };
  struct BackwardOutput {
    static constexpr size_t in = 9, out = 8;
    static Line<out> of(const Line<in>& m) {
      const Line<4> odd = pair_output(m);
      return {m[5], odd[0], m[6], odd[1], m[7], odd[2], m[8], odd[3]};
    }
  };
};

}  // namespace gestalt::kernels::cpu::winograd
