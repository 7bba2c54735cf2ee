// Kernels that treat each row of a (rows, columns) matrix on its own: layer norm, softmax, unit length.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// y = gamma · (h − mean(h)) / √(var(h) + eps) + beta with h = x + residual; Ba, Kiros and Hinton 2016.
struct LayerNorm {
  In x;
  In residual;        // like x, or null: h is x
  In gamma, beta;     // (columns), the accumulator's dtype, as are the statistics
  Out sum;            // h, where there is a residual
  Out y;              // like x
  Out mean, inv_std;  // (rows), what backward needs
  int64_t rows, columns;
  double eps;
};
GESTALT_KERNEL(LayerNorm)
inline Cost cost(const LayerNorm& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.residual, k.sum, k.y)}; }

// Rows whose parameter gradients are summed without a join; it depends on the sizes only.
inline int64_t layer_norm_chunk(int64_t rows) {
  const int64_t even = (rows + 63) / 64;
  return even < 16 ? 16 : even;
}
inline int64_t layer_norm_chunks(int64_t rows) { return (rows + layer_norm_chunk(rows) - 1) / layer_norm_chunk(rows); }
// How many parts CUDA splits rows into.
inline int64_t layer_norm_parts(int64_t rows) {
  const int64_t even = (rows + 15) / 16;
  return even < 1 ? 1 : (even > 256 ? 256 : even);
}

// Gradients of LayerNorm. dx is that of x and of the residual alike.
struct LayerNormBackward {
  In h, dy;
  In dsum;  // gradient that reached h by itself, added to dx; or null
  In gamma, mean, inv_std;
  Out dx, dgamma, dbeta;
  int64_t rows, columns;
};
GESTALT_KERNEL(LayerNormBackward)
inline Cost cost(const LayerNormBackward& k) { return {.bytes = traffic(k.rows * k.columns, k.h, k.dy, k.dsum, k.dx)}; }
// The sums over rows of each chunk or part, for dgamma and dbeta.
inline int64_t scratch_bytes(const LayerNormBackward& k, Device device) {
  const int64_t parts = device == Device::cpu ? layer_norm_chunks(k.rows) : layer_norm_parts(k.rows);
  return parts * 2 * k.columns * size_of(accumulator_of(k.h.dtype));
}

// y = softmax of each row, or its logarithm.
struct Softmax {
  In x;
  Out y;
  int64_t rows, columns;
  bool log;
};
GESTALT_KERNEL(Softmax)
inline Cost cost(const Softmax& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.y)}; }

struct SoftmaxBackward {
  In y, dy;
  Out dx;
  int64_t rows, columns;
  bool log;
};
GESTALT_KERNEL(SoftmaxBackward)
inline Cost cost(const SoftmaxBackward& k) { return {.bytes = traffic(k.rows * k.columns, k.y, k.dy, k.dx)}; }

// y = x · inv_norm with inv_norm = 1 / max(‖x‖, eps) of each row.
struct Normalize {
  In x;
  Out y;
  Out inv_norm;  // (rows), the accumulator's dtype
  int64_t rows, columns;
  double eps;
};
GESTALT_KERNEL(Normalize)
inline Cost cost(const Normalize& k) { return {.bytes = traffic(k.rows * k.columns, k.x, k.y)}; }

// dx = inv_norm · (dy − y·⟨y, dy⟩); rows shorter than eps were only scaled and have no second term.
struct NormalizeBackward {
  In y, dy, inv_norm;
  Out dx;
  int64_t rows, columns;
  double eps;
};
GESTALT_KERNEL(NormalizeBackward)
inline Cost cost(const NormalizeBackward& k) { return {.bytes = traffic(k.rows * k.columns, k.y, k.dy, k.dx)}; }

}  // namespace gestalt::kernels
