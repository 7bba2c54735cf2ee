// Whether a batch of embeddings is normally distributed in random directions: the directions, and the statistic of
// Epps and Pulley with its gradient (Balestriero and LeCun 2025, "LeJEPA", algorithm 1).
#pragma once

#include "kernels/noise.h"
#include "kernels/sincos.h"

namespace gestalt::kernels {

// Row m of y is direction m of `step`: normal numbers, brought to unit length.
struct RandomSlices {
  Out y;  // f32 (slices, dim)
  int64_t slices, dim;
  uint64_t seed;
  Varying<uint64_t> step;
};
GESTALT_KERNEL(RandomSlices)
inline Cost cost(const RandomSlices& k) { return {.bytes = 2 * traffic(k.slices * k.dim, k.y)}; }

// The statistic compares characteristic functions at t = 3k/16 for k in [0, 16], by the trapezoidal rule. At t = 0 both
// are 1. A sample and its mirror image give the same terms, so that t below 0 need not be looked at.
constexpr int slice_nodes = 16;
constexpr double slice_step = 3.0 / 16;

template <class S>
struct SliceNodes {
  S target[slice_nodes],
      weight[slice_nodes];  // of t = (k + 1)·3/16: the normal's function, and quadrature times window

  SliceNodes() {
    for (int k = 0; k < slice_nodes; ++k) {
      const double t = slice_step * (k + 1);
      target[k] = static_cast<S>(std::exp(-t * t / 2));
      weight[k] = static_cast<S>((k + 1 == slice_nodes ? 1 : 2) * slice_step * std::exp(-t * t / 2));
    }
  }
};

// Of each view and slice T = rows · Σ_t weight_t [(mean cos(t·p) − target_t)² + (mean sin(t·p))²]; loss = mean of T.
// ∂loss/∂p = Σ_k slopes_k cos(kθ) − slopes_{16 + k} sin(kθ) with θ = 3/16·p, for k in [1, 16].
struct EppsPulley {
  In p;        // (views · rows, slices), view after view
  Out slopes;  // (views, 2 · slice_nodes, slices), the accumulator's dtype
  Out loss;    // (1), the same
  int64_t views, rows, slices;
};
GESTALT_KERNEL(EppsPulley)
inline Cost cost(const EppsPulley& k) {
  return {.bytes = traffic(k.views * k.rows * k.slices, k.p) + traffic(k.views * 2 * slice_nodes * k.slices, k.slopes),
          .loss = true};
}
inline int64_t scratch_bytes(const EppsPulley& k, Device) { return k.views * k.slices * size_of(DType::f64); }

// dp = dloss · ∂loss/∂p.
struct EppsPulleyBackward {
  In p, slopes, dloss;
  Out dp;
  int64_t views, rows, slices;
};
GESTALT_KERNEL(EppsPulleyBackward)
inline Cost cost(const EppsPulleyBackward& k) {
  return {.bytes =
              traffic(k.views * k.rows * k.slices, k.p, k.dp) + traffic(k.views * 2 * slice_nodes * k.slices, k.slopes),
          .loss = true};
}

// What a slice's sums say: T, and the factors of its slopes: slope_k = factor_k · mean sin, slope_{16 + k} = factor_k ·
// (mean cos − target).
template <class S>
GESTALT_HOST_DEVICE S slice_factor(const SliceNodes<S>& nodes, int k, S share) {
  return share * 2 * nodes.weight[k] * static_cast<S>(slice_step) * static_cast<S>(k + 1);
}

}  // namespace gestalt::kernels
