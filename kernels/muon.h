// What Muon does to a weight matrix element by element, before and after its products (Jordan et al. 2024, "Muon: an
// optimizer for hidden layers in neural networks").
#pragma once

#include "kernels/optimizer.h"

namespace gestalt::kernels {

// m ← μ·m + (1−μ)·clip·g;  d = μ·m + (1−μ)·clip·g, Nesterov's look ahead. Before `first_step` m stays and d is 0.
struct MuonDirection {
  Out moments;      // (count) f32
  Out direction;    // (count) f32
  In grads;         // (count) f32
  In squared_norm;  // of GradNorm over all gradients; absent without clipping
  Varying<UpdateNumbers> numbers;
  int64_t first_step;
  int64_t count;
  float momentum, max_norm;
};
GESTALT_KERNEL(MuonDirection)
inline Cost cost(const MuonDirection& k) {
  return {.bytes = traffic(k.count, k.moments, k.moments, k.direction, k.grads)};
}

// y = x / max(‖x‖, 1e-7), in y's dtype.
struct ToUnitNorm {
  In x;             // (count) f32
  In squared_norm;  // (1 or more) f64: ‖x‖² comes first
  Out y;            // (count) f32 or bf16
  int64_t count;
};
GESTALT_KERNEL(ToUnitNorm)
inline Cost cost(const ToUnitNorm& k) { return {.bytes = traffic(k.count, k.x, k.y)}; }

// w ← w − rate·(scale·d + decay·w) with the matrix's own rate and decay. Also writes the bf16 shadow if there is one.
struct MuonStep {
  Out weights, shadows;  // (count) f32; bf16 or absent
  In direction;          // (count) f32 or bf16
  Varying<UpdateNumbers> numbers;
  int64_t first_step;
  int64_t count;
  float rate_scale, decay_scale, scale;
};
GESTALT_KERNEL(MuonStep)
inline Cost cost(const MuonStep& k) {
  return {.bytes = traffic(k.count, k.weights, k.weights, k.shadows, k.direction)};
}

// 1 / max(√squared_norm, 1e-7).
GESTALT_HOST_DEVICE float inverse_norm(double squared_norm) {
  const double norm = sqrt(squared_norm);
  return static_cast<float>(1 / (norm > 1e-7 ? norm : 1e-7));
}

}  // namespace gestalt::kernels
