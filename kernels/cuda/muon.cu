// Muon's passes over a weight matrix on CUDA.
#include "kernels/muon.h"

#include "kernels/cuda/vector.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

__global__ void __launch_bounds__(threads)
    direction_kernel(float* moments, float* direction, const float* grads, const double* squared_norm,
                     Varying<UpdateNumbers> numbers, int64_t first_step, int64_t count, float momentum,
                     float max_norm) {
  const bool frozen = numbers.now().step < first_step;
  const float clip = squared_norm && max_norm > 0 ? clip_factor(squared_norm[0], max_norm) : 1.0f;
  const float keep = frozen ? 0 : momentum, add = frozen ? 0 : (1 - momentum) * clip;
  grid_stride(count, [&](int64_t i) {
    const float g = add * grads[i], m = keep * moments[i] + g;
    if (!frozen) moments[i] = m;
    direction[i] = keep * m + g;
  });
}

template <class T>
__global__ void __launch_bounds__(threads)
    unit_norm_kernel(const float* x, const double* squared_norm, T* y, int64_t count) {
  const float scale = inverse_norm(squared_norm[0]);
  grid_stride(count, [&](int64_t i) { y[i] = static_cast<T>(scale * x[i]); });
}

template <class T>
__global__ void __launch_bounds__(threads)
    muon_kernel(float* weights, BFloat16* shadows, const T* direction, Varying<UpdateNumbers> numbers,
                int64_t first_step, int64_t count, float rate_scale, float decay_scale, float scale) {
  const UpdateNumbers now = numbers.now();
  if (now.step < first_step) return;
  const float rate = now.rate * rate_scale, keep = 1 - rate * (now.decay * decay_scale), move = rate * scale;
  grid_stride(count, [&](int64_t i) {
    const float w = keep * weights[i] - move * static_cast<float>(direction[i]);
    weights[i] = w;
    if (shadows) shadows[i] = BFloat16(w);
  });
}

}  // namespace

void run(const MuonDirection& k, Stream stream) {
  launch_kernel(direction_kernel, blocks_for(k.count, threads), threads, 0, stream, k.moments.as<float>(),
                k.direction.as<float>(), k.grads.as<float>(), k.squared_norm.as<double>(), k.numbers, k.first_step,
                k.count, k.momentum, k.max_norm);
}

void run(const ToUnitNorm& k, Stream stream) {
  dispatch_cuda(k.y.dtype, [&](auto tag) {
    launch_kernel(unit_norm_kernel<decltype(tag)>, blocks_for(k.count, threads), threads, 0, stream, k.x.as<float>(),
                  k.squared_norm.as<double>(), k.y.as<decltype(tag)>(), k.count);
  });
}

void run(const MuonStep& k, Stream stream) {
  dispatch_cuda(k.direction.dtype, [&](auto tag) {
    launch_kernel(muon_kernel<decltype(tag)>, blocks_for(k.count, threads), threads, 0, stream, k.weights.as<float>(),
                  k.shadows.as<BFloat16>(), k.direction.as<decltype(tag)>(), k.numbers, k.first_step, k.count,
                  k.rate_scale, k.decay_scale, k.scale);
  });
}

}  // namespace gestalt::kernels::cuda
