// Two-dimensional convolution, NHWC, filters (O, KH, KW, I): by a library (oneDNN, cuDNN) or, on the CPU, by what is
// faster for some shapes (winograd.md).
#pragma once

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

// y = x ⋆ w. x, w and y share a dtype.
struct Conv {
  In x;   // (batch, height, width, in_channels)
  In w;   // (out_channels, kernel_height, kernel_width, in_channels)
  Out y;  // (batch, out_height, out_width, out_channels)
  ConvShape shape;
};
GESTALT_KERNEL(Conv)

// dx of Conv.
struct ConvBackwardInput {
  In dy, w;
  Out dx;
  ConvShape shape;
};
GESTALT_KERNEL(ConvBackwardInput)

// dw of Conv. dw is of the accumulator's dtype.
struct ConvBackwardWeights {
  In x, dy;
  Out dw;
  ConvShape shape;
};
GESTALT_KERNEL(ConvBackwardWeights)

}  // namespace gestalt::kernels
