// A loss's gradient brought to the loss's own gradient, on CUDA.
#include "kernels/loss_gradient.h"

#include "kernels/cuda/vector.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

template <int N, class T>
__global__ void __launch_bounds__(threads)
    scale_gradient_kernel(const float* dloss, T* gradient, float expected, int64_t packs, int64_t count) {
  const float factor = dloss[0] / expected;
  if (factor == 1) return;
  grid_stride(packs, [&](int64_t i) {
    auto pack = load_pack<Pack<T, N>>(gradient + i * N);
#pragma unroll
    for (int j = 0; j < N; ++j) pack.v[j] = static_cast<T>(factor * static_cast<float>(pack.v[j]));
    store_pack(gradient + i * N, pack);
  });
  grid_stride(count - packs * N, [&](int64_t i) {
    T& g = gradient[packs * N + i];
    g = static_cast<T>(factor * static_cast<float>(g));
  });
}

}  // namespace

void run(const ScaleLossGradient& k, Stream stream) {
  dispatch_pack(k.gradient.dtype, reinterpret_cast<uintptr_t>(k.gradient.data) % 16 == 0, [&](auto tag, auto width) {
    using T = decltype(tag);
    constexpr int N = width;
    launch_kernel(scale_gradient_kernel<N, T>, blocks_for(divide_up(k.count, N), threads), threads, 0, stream,
                  k.dloss.as<float>(), k.gradient.as<T>(), static_cast<float>(k.expected), k.count / N, k.count);
  });
}

}  // namespace gestalt::kernels::cuda
