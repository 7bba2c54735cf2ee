// Optimizer steps on the CPU: one vectorised pass over the arena.
#include "kernels/optimizer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/write.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t chunk = 16384;  // elements; fixed, so that sums do not depend on the number of threads

double squared_sum(const float* x, int64_t begin, int64_t end) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = begin; i < end; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

// Σ x² over [begin, end) in chunks of fixed size, joined in order.
double squared_norm(const float* x, int64_t begin, int64_t end) {
  std::vector<double> partial((end - begin + chunk - 1) / chunk);
  parallel_ranges(static_cast<int64_t>(partial.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c)
      partial[c] = squared_sum(x, begin + c * chunk, std::min(end, begin + (c + 1) * chunk));
  });
  double sum = 0;
  for (double p : partial) sum += p;
  return sum;
}

// What a step multiplies the gradients of segment `number` by.
template <class Step>
float clip_of(const Step& k, int64_t number) {
  if (k.max_norm <= 0) return 1;
  if (k.clip_each) return clip_factor(k.norms.template as<double>()[2 * number + 1], k.max_norm);
  return k.squared_norm ? clip_factor(k.squared_norm.template as<double>()[0], k.max_norm) : 1;
}

constexpr int64_t tile = 2048;  // elements worked on while they are in the first-level cache

// Calls f(begin, end) for the tiles of [begin, end).
template <class F>
void for_each_tile(int64_t begin, int64_t end, F&& f) {
  for (; begin < end; begin += tile) f(begin, std::min(end, begin + tile));
}

// Calls f(segment, begin, end) for tiles that cover all segments, split over the threads by elements.
template <class F>
void for_each_piece(const Segment* segments, int64_t count, F&& f) {
  if (count == 0) return;
  parallel_ranges(segments[count - 1].end, chunk, [&](int64_t begin, int64_t end) {
    const Segment* s =
        std::partition_point(segments, segments + count, [&](const Segment& x) { return x.end <= begin; });
    for (; s != segments + count && s->begin < end; ++s)
      for_each_tile(std::max(begin, s->begin), std::min(end, s->end),
                    [&](int64_t first, int64_t last) { f(*s, first, last); });
  });
}

void write_shadow(BFloat16* shadow, const float* w, int64_t begin, int64_t end) {
  if (shadow) round_range(w + begin, end - begin, shadow + begin);
}

}  // namespace

void run(const GradNorm& k, Stream) {
  double* out = k.squared_norm.as<double>();
  out[0] = squared_norm(k.grads.as<float>(), 0, k.count);
  out[1] = std::isfinite(out[0]) ? 0 : 1;
}

void run(const SegmentNorms& k, Stream) {
  double* out = k.norms.as<double>();
  for (int64_t s = 0; s < k.segment_count; ++s) {
    const Segment& at = k.segments[s];
    out[2 * s] = k.weights ? squared_norm(k.weights.as<float>(), at.begin, at.end) : 0;
    out[2 * s + 1] = squared_norm(k.grads.as<float>(), at.begin, at.end);
  }
}

void run(const SgdStep& k, Stream) {
  float *w = k.weights.as<float>(), *m = k.moments.as<float>();
  const float* g = k.grads.as<float>();
  BFloat16* shadow = k.shadows.as<BFloat16>();
  const double* norms = k.norms.as<double>();
  const float momentum = k.momentum;
  const UpdateNumbers now = k.numbers.now();
  for_each_piece(k.segments, k.segment_count, [&](const Segment& s, int64_t begin, int64_t end) {
    if (s.frozen(now.step)) return;
    const int64_t number = &s - k.segments;
    const float clip = clip_of(k, number), decay = now.decay * s.decay_scale, rate = now.rate * s.rate_scale;
    float local = 1;
    if (norms && k.trust > 0 && s.adapt) {
      const double wn = std::sqrt(norms[2 * number]), gn = clip * std::sqrt(norms[2 * number + 1]);
      if (wn > 0 && gn > 0) local = static_cast<float>(k.trust * wn / (gn + decay * wn + 1e-9));
      if (k.clip_local && rate > 0) local = std::min(local / rate, 1.0f);
    }
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float d = local * (clip * g[i] + decay * w[i]);
      m[i] = momentum * m[i] + d;
      w[i] -= rate * m[i];
    }
    write_shadow(shadow, w, begin, end);
  });
}

void run(const AdamwStep& k, Stream) {
  float *w = k.weights.as<float>(), *m = k.first.as<float>(), *v = k.second.as<float>();
  const float* g = k.grads.as<float>();
  BFloat16* shadow = k.shadows.as<BFloat16>();
  const float beta1 = k.beta1, beta2 = k.beta2, epsilon = k.epsilon;
  const UpdateNumbers now = k.numbers.now();
  for_each_piece(k.segments, k.segment_count, [&](const Segment& s, int64_t begin, int64_t end) {
    if (s.frozen(now.step)) return;
    const BiasCorrection correct = s.first_step == 0 ? BiasCorrection{now.correct1, now.correct2}
                                                     : bias_correction(beta1, beta2, now.step - s.first_step + 1);
    const float clip = clip_of(k, &s - k.segments), rate = now.rate * s.rate_scale;
    const float keep = 1 - rate * (now.decay * s.decay_scale), move = rate * correct.first, correct2 = correct.second;
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float d = clip * g[i];
      const float a = beta1 * m[i] + (1 - beta1) * d;
      const float b = beta2 * v[i] + (1 - beta2) * d * d;
      m[i] = a;
      v[i] = b;
      w[i] = w[i] * keep - move * a / (std::sqrt(b) * correct2 + epsilon);
    }
    write_shadow(shadow, w, begin, end);
  });
}

void run(const EmaStep& k, Stream) {
  float* t = k.teacher.as<float>();
  const float* s = k.student.as<float>();
  BFloat16* shadow = k.shadows.as<BFloat16>();
  const double keep = k.tau.now();
  const float tau = static_cast<float>(keep), rest = static_cast<float>(1 - keep);
  parallel_ranges(k.count, chunk, [&](int64_t begin, int64_t end) {
    for_each_tile(begin, end, [&](int64_t first, int64_t last) {
#pragma omp simd
      for (int64_t i = first; i < last; ++i) t[i] = tau * t[i] + rest * s[i];
      write_shadow(shadow, t, first, last);
    });
  });
}

}  // namespace gestalt::kernels::cpu
