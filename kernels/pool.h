// Two-dimensional pooling, NHWC.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

struct PoolShape {
  int64_t batch, height, width, channels;  // of the input
  int64_t kernel, stride, padding;

  int64_t out_height() const { return (height + 2 * padding - kernel) / stride + 1; }
  int64_t out_width() const { return (width + 2 * padding - kernel) / stride + 1; }
  int64_t inputs() const { return batch * height * width * channels; }
  int64_t outputs() const { return batch * out_height() * out_width() * channels; }
};

// y = the largest of each window; padding never wins. Of equal values the first in row-major order wins; NaN wins.
struct MaxPool {
  In x;             // (batch, height, width, channels)
  Out y;            // (batch, out_height, out_width, channels)
  Out index;        // like y, u8: row · kernel + column of the winner within its window; null if not wanted
  PoolShape shape;  // kernel ≤ 16
};
GESTALT_KERNEL(MaxPool)
inline Cost cost(const MaxPool& k) {
  return {.bytes = traffic(k.shape.inputs(), k.x) + traffic(k.shape.outputs(), k.y, k.index)};
}

// dx of MaxPool: each input gathers from the windows that chose it, so nothing is added twice or out of order.
struct MaxPoolBackward {
  In dy, index;
  Out dx;
  PoolShape shape;
};
GESTALT_KERNEL(MaxPoolBackward)
inline Cost cost(const MaxPoolBackward& k) {
  return {.bytes = traffic(k.shape.inputs(), k.dx) + traffic(k.shape.outputs(), k.dy, k.index)};
}

// y = sum of each window / kernel²; padding counts as zeros.
struct AveragePool {
  In x;
  Out y;
  PoolShape shape;
};
GESTALT_KERNEL(AveragePool)
inline Cost cost(const AveragePool& k) {
  return {.bytes = traffic(k.shape.inputs(), k.x) + traffic(k.shape.outputs(), k.y)};
}

struct AveragePoolBackward {
  In dy;
  Out dx;
  PoolShape shape;
};
GESTALT_KERNEL(AveragePoolBackward)
inline Cost cost(const AveragePoolBackward& k) {
  return {.bytes = traffic(k.shape.inputs(), k.dx) + traffic(k.shape.outputs(), k.dy)};
}

// y[n, c] = mean over p of x[n, p, c].
struct GlobalAveragePool {
  In x;   // (batch, positions, channels)
  Out y;  // (batch, channels)
  int64_t batch, positions, channels;
};
GESTALT_KERNEL(GlobalAveragePool)
inline Cost cost(const GlobalAveragePool& k) {
  return {.bytes = traffic(k.batch * k.positions * k.channels, k.x) + traffic(k.batch * k.channels, k.y)};
}

struct GlobalAveragePoolBackward {
  In dy;
  Out dx;
  int64_t batch, positions, channels;
};
GESTALT_KERNEL(GlobalAveragePoolBackward)
inline Cost cost(const GlobalAveragePoolBackward& k) {
  return {.bytes = traffic(k.batch * k.positions * k.channels, k.dx) + traffic(k.batch * k.channels, k.dy)};
}

}  // namespace gestalt::kernels
