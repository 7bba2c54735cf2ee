// Optimizer kernels: one pass over a flat arena of parameters, no host round trip.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/varying.h"

namespace gestalt::kernels {

// One parameter tensor inside an arena. Biases and norm parameters (rank ≤ 1) do not adapt, nor decay unless asked to.
struct Segment {
  int64_t begin = 0, end = 0;  // elements
  float rate_scale = 1;        // multiplies the learning rate, for layer-wise decay
  float decay_scale = 1;       // multiplies the weight decay
  int32_t adapt = 0;           // 1: LARS scales its rate by ‖w‖/‖g‖
  int32_t elsewhere = 0;       // 1: another optimizer's; this one leaves weights and moments alone
  int64_t first_step = 0;      // and so it does at steps before this one

  GESTALT_HOST_DEVICE bool frozen(int64_t step) const { return elsewhere || step < first_step; }
};

// What an update is told anew at each step.
struct UpdateNumbers {
  float rate = 0, decay = 0;         // learning rate and weight decay
  int64_t step = 0;                  // counts from 0
  float correct1 = 1, correct2 = 1;  // AdamW: 1 / (1 − β1ᵗ) and 1 / √(1 − β2ᵗ) after t = step + 1 updates
};

// The last two of them.
struct BiasCorrection {
  float first, second;
};
GESTALT_HOST_DEVICE BiasCorrection bias_correction(float beta1, float beta2, int64_t t) {
  const auto rest = [t](float beta) { return 1 - pow(static_cast<double>(beta), static_cast<double>(t)); };
  return {static_cast<float>(1 / rest(beta1)), static_cast<float>(1 / sqrt(rest(beta2)))};
}

// What gradients are multiplied by so that their norm is at most max_norm.
GESTALT_HOST_DEVICE float clip_factor(double squared_norm, float max_norm) {
  const double norm = sqrt(squared_norm);
  return norm > max_norm ? static_cast<float>(max_norm / (norm + 1e-6)) : 1.0f;
}

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
  In weights;  // absent: their sums are 0
  In grads;
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
// clip = min(1, max_norm / ‖all g‖) if max_norm > 0, with ‖the segment's g‖ for clip_each. Also writes the bf16 shadow
// if there is one.
struct SgdStep {
  Out weights, moments, shadows;
  In grads;
  In squared_norm;  // of GradNorm; absent without clipping
  In norms;         // of SegmentNorms; absent for plain SGD without clip_each
  const Segment* segments;
  int64_t segment_count;
  int64_t count;  // elements of the arena
  Varying<UpdateNumbers> numbers;
  float momentum, max_norm;
  bool clip_each;
  float trust;      // LARS's η; 0: plain SGD
  bool clip_local;  // LARC: local rate · rate is at most rate
};
GESTALT_KERNEL(SgdStep)
inline Cost cost(const SgdStep& k) {
  return {.bytes = traffic(k.count, k.weights, k.weights, k.moments, k.moments, k.grads, k.shadows)};
}

// AdamW (Loshchilov and Hutter 2019, algorithm 2):
//   m ← β1·m + (1−β1)·g;  v ← β2·v + (1−β2)·g²;  w ← w − rate·(m̂ / (√v̂ + ε) + decay·w)
// where the bias correction of a segment counts steps from its first_step. Clips as SgdStep does.
struct AdamwStep {
  Out weights, first, second, shadows;
  In grads;
  In squared_norm;  // absent without clipping
  In norms;         // absent without clip_each
  const Segment* segments;
  int64_t segment_count;
  int64_t count;  // elements of the arena
  Varying<UpdateNumbers> numbers;
  float beta1, beta2, epsilon, max_norm;
  bool clip_each;
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
