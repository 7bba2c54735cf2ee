// Normal noise on CUDA: a thread makes two numbers.
#include "kernels/noise.h"

#include "kernels/cuda/vector.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

template <class T>
__global__ void __launch_bounds__(threads)
    noise_kernel(const int32_t* samples, T* y, int64_t rows, int64_t columns, uint64_t seed, Varying<uint64_t> step) {
  const int64_t pairs = (columns + 1) / 2;
  const uint64_t now = step.now();
  grid_stride(rows * pairs, [&](int64_t i) {
    const int64_t row = i / pairs, j = i % pairs;
    const NormalPair pair =
        normal_pair(seed, Use::noise, now, static_cast<uint32_t>(samples[row]), static_cast<uint32_t>(j));
    y[row * columns + 2 * j] = static_cast<T>(pair.first);
    if (2 * j + 1 < columns) y[row * columns + 2 * j + 1] = static_cast<T>(pair.second);
  });
}

}  // namespace

void run(const NormalNoise& k, Stream stream) {
  dispatch_cuda(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(noise_kernel<T>, blocks_for(k.rows * ((k.columns + 1) / 2), threads), threads, 0, stream,
                  k.samples.as<int32_t>(), k.y.as<T>(), k.rows, k.columns, k.seed, k.step);
  });
}

}  // namespace gestalt::kernels::cuda
