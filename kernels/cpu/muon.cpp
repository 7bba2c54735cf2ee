// Muon's passes over a weight matrix on the CPU.
#include "kernels/muon.h"

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/write.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t grain = 16384;  // elements

}  // namespace

void run(const MuonDirection& k, Stream) {
  float *m = k.moments.as<float>(), *d = k.direction.as<float>();
  const float* g = k.grads.as<float>();
  const bool frozen = k.numbers.now().step < k.first_step;
  const double* norm = k.squared_norm.as<double>();
  const float clip = norm && k.max_norm > 0 ? clip_factor(norm[0], k.max_norm) : 1;
  const float keep = frozen ? 0 : k.momentum, add = frozen ? 0 : (1 - k.momentum) * clip;
  parallel_ranges(k.count, grain, [&](int64_t begin, int64_t end) {
    if (!frozen)
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) m[i] = keep * m[i] + add * g[i];
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) d[i] = keep * m[i] + add * g[i];
  });
}

void run(const ToUnitNorm& k, Stream) {
  const float* x = k.x.as<float>();
  const float scale = inverse_norm(k.squared_norm.as<double>()[0]);
  dispatch_float(k.y.dtype, [&](auto tag) {
    auto* y = k.y.as<decltype(tag)>();
    parallel_ranges(k.count, grain, [&](int64_t begin, int64_t end) {
      write_range(y, begin, end, [&](int64_t i) { return scale * x[i]; });
    });
  });
}

void run(const MuonStep& k, Stream) {
  float* w = k.weights.as<float>();
  BFloat16* shadow = k.shadows.as<BFloat16>();
  const UpdateNumbers now = k.numbers.now();
  if (now.step < k.first_step) return;
  const float rate = now.rate * k.rate_scale, keep = 1 - rate * (now.decay * k.decay_scale), move = rate * k.scale;
  dispatch_float(k.direction.dtype, [&](auto tag) {
    const auto* d = k.direction.as<decltype(tag)>();
    parallel_ranges(k.count, grain, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) w[i] = keep * w[i] - move * static_cast<float>(d[i]);
      if (shadow) round_range(w + begin, end - begin, shadow + begin);
    });
  });
}

}  // namespace gestalt::kernels::cpu
