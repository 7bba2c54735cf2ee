// Dropout on CUDA: a Philox block makes four elements, a thread sixteen bytes.
#include "kernels/dropout.h"

#include <cmath>

#include "kernels/cuda/vector.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

// Which of elements 4·block … 4·block + 3 are kept; `threshold` is p in the 24 bits that a uniform number has.
struct Mask {
  uint64_t seed, step;
  uint32_t slot, threshold;

  __device__ uint4 operator()(int64_t block) const {
    const Philox4 r = dropout_words(seed, step, slot, block);
    return {keeps(r.word[0]), keeps(r.word[1]), keeps(r.word[2]), keeps(r.word[3])};
  }
  __device__ uint32_t keeps(uint32_t word) const { return (word >> 8) >= threshold; }
};

template <int N, class T>
__global__ void __launch_bounds__(threads)
    dropout_kernel(const T* x, T* y, int64_t packs, int64_t count, Mask mask, Varying<uint64_t> step, float gain) {
  mask.step = step.now();
  grid_stride(packs, [&](int64_t i) {
    const auto in = load_pack<Pack<T, N>>(x + i * N);
    Pack<T, N> out;
#pragma unroll
    for (int b = 0; b < N / 4; ++b) {
      const uint4 keep = mask(i * (N / 4) + b);
      const uint32_t kept[4] = {keep.x, keep.y, keep.z, keep.w};
#pragma unroll
      for (int j = 0; j < 4; ++j)
        out.v[4 * b + j] = static_cast<T>(kept[j] ? static_cast<float>(in.v[4 * b + j]) * gain : 0.0f);
    }
    store_pack(y + i * N, out);
  });
  // What packs do not cover: a rest, or all of it where addresses are odd.
  const int64_t done = packs * N;
  grid_stride((count - done + 3) / 4, [&](int64_t i) {
    const int64_t first = done + 4 * i;
    const uint4 keep = mask(first / 4);
    const uint32_t kept[4] = {keep.x, keep.y, keep.z, keep.w};
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (first + j < count) y[first + j] = static_cast<T>(kept[j] ? static_cast<float>(x[first + j]) * gain : 0.0f);
  });
}

}  // namespace

void run(const Dropout& k, Stream stream) {
  const Mask mask{k.seed, 0, k.slot, static_cast<uint32_t>(std::ceil(k.p * 0x1p24))};
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int N = 16 / sizeof(T);
    const int64_t packs = aligned16(k.x.as<T>(), k.y.as<T>()) ? k.count / N : 0;
    launch_kernel(dropout_kernel<N, T>, blocks_for(packs ? divide_up(k.count, N) : divide_up(k.count, 4), threads),
                  threads, 0, stream, k.x.as<T>(), k.y.as<T>(), packs, k.count, mask, k.step,
                  static_cast<float>(1 / (1 - k.p)));
  });
}

}  // namespace gestalt::kernels::cuda
