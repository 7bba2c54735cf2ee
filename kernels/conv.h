// Two-dimensional convolution, NHWC, filters (O, KH, KW, I): by a library (oneDNN, cuDNN) or, on the CPU, by what is
// faster for some shapes (winograd.md).
#pragma once

#include <concepts>

#include "kernels/launch.h"

namespace gestalt::kernels {

struct ConvShape {
  int64_t batch, height, width, in_channels;  // of the input
  int64_t out_channels, kernel_height, kernel_width;
  int64_t stride, padding;

  int64_t out_height() const { return (height + 2 * padding - kernel_height) / stride + 1; }
  int64_t out_width() const { return (width + 2 * padding - kernel_width) / stride + 1; }
  bool operator==(const ConvShape&) const = default;
};

inline Cost cost(const ConvShape& s, DType dtype, DType weights) {
  const int64_t x = s.batch * s.height * s.width * s.in_channels;
  const int64_t y = s.batch * s.out_height() * s.out_width() * s.out_channels;
  const int64_t taps = s.kernel_height * s.kernel_width * s.in_channels;
  return {.flops = 2 * real(y) * real(taps),
          .bytes = real(x + y) * real(size_of(dtype)) + real(s.out_channels * taps) * real(size_of(weights)),
          .shape = fmt::format("{}×{}×{}: {} to {}, {}×{} stride {}", s.batch, s.height, s.width, s.in_channels,
                               s.out_channels, s.kernel_height, s.kernel_width, s.stride)};
}

// y = x ⋆ w. x, w and y share a dtype.
struct Conv {
  In x;   // (batch, height, width, in_channels)
  In w;   // (out_channels, kernel_height, kernel_width, in_channels)
  Out y;  // (batch, out_height, out_width, out_channels)
  ConvShape shape;
};
GESTALT_KERNEL(Conv)
inline Cost cost(const Conv& k) { return cost(k.shape, k.x.dtype, k.w.dtype); }

// dx of Conv.
struct ConvBackwardInput {
  In dy, w;
  Out dx;
  ConvShape shape;
};
GESTALT_KERNEL(ConvBackwardInput)
inline Cost cost(const ConvBackwardInput& k) { return cost(k.shape, k.dy.dtype, k.w.dtype); }

// dw of Conv. dw is of the accumulator's dtype.
struct ConvBackwardWeights {
  In x, dy;
  Out dw;
  ConvShape shape;
};
GESTALT_KERNEL(ConvBackwardWeights)
inline Cost cost(const ConvBackwardWeights& k) { return cost(k.shape, k.x.dtype, k.dw.dtype); }

GESTALT_ON_CPU_DECLARE(int64_t scratch_bytes(const Conv&))
GESTALT_ON_CPU_DECLARE(int64_t scratch_bytes(const ConvBackwardInput&))
GESTALT_ON_CPU_DECLARE(int64_t scratch_bytes(const ConvBackwardWeights&))
// CPU: bf16 operands in f32, where the processor multiplies only that; pixels that a stride picks, and what their
// product takes; the filters' gradients of groups of images.
template <class Args>
requires std::same_as<Args, Conv> || std::same_as<Args, ConvBackwardInput> || std::same_as<Args, ConvBackwardWeights>
    int64_t scratch_bytes(const Args& k, Device device) {
  return device == Device::cpu ? GESTALT_ON_CPU(scratch_bytes(k)) : 0;
}

}  // namespace gestalt::kernels
