// Optimizer kernels: one pass over a flat arena of parameters, no host round trip.
#pragma once

#include <algorithm>

#include "kernels/varying.h"

namespace gestalt::kernels {

// One parameter tensor inside an arena. Biases and norm parameters (rank ≤ 1) neither decay nor adapt.
struct Segment {
  int64_t begin, end;  // elements
  int32_t decay;       // 1: weight decay applies
  int32_t adapt;       // 1: LARS scales its rate by ‖w‖/‖g‖
  float rate_scale;    // multiplies the learning rate, for layer-wise decay
  float unused;
};

// What an update is told anew at each step.
struct UpdateNumbers {
  float rate = 0;                    // learning rate
  float correct1 = 1, correct2 = 1;  // AdamW: 1 / (1 − β1ᵗ) and 1 / √(1 − β2ᵗ), t being 1 for the first step
};

// squared_norm[0] = Σ grad², summed in f64 in a fixed order; [1] is 1 if any element is NaN or infinite, else 0.
struct GradNorm {
  In grads;
  Out squared_norm;  // (2) f64
  int64_t count;
};
GESTALT_KERNEL(GradNorm)
inline Cost cost(const GradNorm& k) { return {.bytes = traffic(k.count, k.grads)}; }

// CUDA: sums of `parts` parts of `chunk` elements, joined in their order.
struct GradNormSplit {
  int64_t chunk, parts;

  explicit GradNormSplit(int64_t count)
      : chunk(divide_up(std::max<int64_t>(4096, divide_up(count, 1024)), 4) * 4), parts(divide_up(count, chunk)) {}
};
inline int64_t scratch_bytes(const GradNorm& k, Device device) {
  return device == Device::cuda ? GradNormSplit(k.count).parts * size_of(DType::f64) : 0;
}

// norms[2s] = Σ w², norms[2s+1] = Σ g² for each segment s, in f64.
struct SegmentNorms {
  In weights, grads;
  const Segment* segments;
  int64_t segment_count;
  int64_t count;  // elements of the arena
  Out norms;      // (2·segment_count) f64
};
GESTALT_KERNEL(SegmentNorms)
inline Cost cost(const SegmentNorms& k) { return {.bytes = traffic(k.count, k.weights, k.grads)}; }
// CUDA: parts of each segment that are summed apart, both norms of each.
inline int64_t segment_norm_parts(int64_t segment_count) {
  return std::clamp<int64_t>(65536 / std::max<int64_t>(1, segment_count), 1, 64);
}
inline int64_t scratch_bytes(const SegmentNorms& k, Device device) {
  return device == Device::cuda ? 2 * segment_norm_parts(k.segment_count) * k.segment_count * size_of(DType::f64) : 0;
}

// SGD with momentum, and LARS as SGD with a local rate (You et al. 2017, algorithm 1):
//   g ← clip·g + decay·w;  m ← momentum·m + local·g;  w ← w − rate·m
// where local = 1 for SGD and η‖w‖ / (‖g‖ + decay‖w‖ + 1e-9) for LARS segments that adapt.
// clip = min(1, max_norm / ‖all g‖) if max_norm > 0. Also writes the bf16 shadow if there is one.
struct SgdStep {
  Out weights, moments, shadows;
  In grads;
  In squared_norm;  // of GradNorm; absent without clipping
  In norms;         // of SegmentNorms; absent for plain SGD
  const Segment* segments;
  int64_t segment_count;
  int64_t count;  // elements of the arena
  Varying<UpdateNumbers> numbers;
  float momentum, decay, max_norm;
  float trust;      // LARS's η
  bool clip_local;  // LARC: local rate · rate is at most rate
};
GESTALT_KERNEL(SgdStep)
inline Cost cost(const SgdStep& k) {
  return {.bytes = traffic(k.count, k.weights, k.weights, k.moments, k.moments, k.grads, k.shadows)};
}

// AdamW (Loshchilov and Hutter 2019, algorithm 2):
//   m ← β1·m + (1−β1)·g;  v ← β2·v + (1−β2)·g²;  w ← w − rate·(m̂ / (√v̂ + ε) + decay·w)
struct AdamwStep {
  Out weights, first, second, shadows;
  In grads;
  In squared_norm;  // absent without clipping
  const Segment* segments;
  int64_t segment_count;
  int64_t count;  // elements of the arena
  Varying<UpdateNumbers> numbers;
  float beta1, beta2, epsilon, decay, max_norm;
};
GESTALT_KERNEL(AdamwStep)
inline Cost cost(const AdamwStep& k) {
  return {.bytes = traffic(k.count, k.weights, k.weights, k.first, k.first, k.second, k.second, k.grads, k.shadows)};
}

// teacher ← τ·teacher + (1−τ)·student (Grill et al. 2020, eq. 1). Also writes the teacher's bf16 shadow if there is
// one.
struct EmaStep {
  Out teacher, shadows;
  In student;
  Varying<double> tau;
  int64_t count;
};
GESTALT_KERNEL(EmaStep)
inline Cost cost(const EmaStep& k) { return {.bytes = traffic(k.count, k.teacher, k.teacher, k.student, k.shadows)}; }

}  // namespace gestalt::kernels
