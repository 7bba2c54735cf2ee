// Blocks of patches on CUDA: a block of threads an image, the order of a list by ranking noise.
#include "kernels/block_mask.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 128;
constexpr uint64_t absent = ~uint64_t{0};

// Of a list with `count` patches, writes patch n with `rank` of them before it wherever it stands.
__device__ __forceinline__ void write_again(int32_t* to, int length, int count, int rank, int32_t n) {
  for (int i = rank; i < length; i += count) to[i] = n;
}

__global__ void __launch_bounds__(threads)
    draw_blocks_kernel(const int32_t* samples, int32_t* context, int32_t* targets, int32_t* places, DrawBlocks k) {
  GESTALT_DYNAMIC_SHARED(uint64_t, keys);
  GESTALT_SHARED(DrawnBlocks, drawn, [1]);
  const int64_t b = blockIdx.x;
  const uint64_t step = k.step.now();
  const int32_t sample = samples[b], patches = k.how.patches();
  const int kept = static_cast<int>(k.kept), picked = static_cast<int>(k.picked), length = kept + picked;

  // Blocks: a thread each.
  const auto draw_all = [&](int attempt) {
    __syncthreads();
    const int list = static_cast<int>(threadIdx.x);
    if (list <= k.how.blocks) drawn[0].of[list] = draw_block(k.how, k.seed, step, sample, attempt, list);
    __syncthreads();
  };
  int best = 0, most = -1, last = 0;
  for (int a = 0; a < BlockSampling::attempts && most < kept; ++a) {
    draw_all(last = a);
    int count = 0;
    for (int32_t n = threadIdx.x; n < patches; n += threads) count += drawn[0].has(k.how, 0, n);
    count = block_sum(count);
    if (count > most) most = count, best = a;
  }
  if (best != last) draw_all(best);

  // Lists.
  for (int list = 0; list <= k.how.blocks; ++list) {
    const int size = list == 0 ? kept : picked, count = list == 0 ? most : drawn[0].of[list].area();
    for (int32_t n = threadIdx.x; n < patches; n += threads) {
      const uint32_t noise = k.how.original ? 0 : block_noise(k.seed, step, sample, list, n);
      const uint64_t key = static_cast<uint64_t>(noise) << 32 | static_cast<uint32_t>(n);
      keys[n] = drawn[0].has(k.how, list, n) ? key : absent;
    }
    __syncthreads();
    for (int32_t n = threadIdx.x; n < patches; n += threads) {
      const uint64_t mine = keys[n];
      if (mine == absent) continue;
      int rank = 0;
      for (int j = 0; j < patches; ++j) rank += keys[j] < mine;
      if (list > 0) {
        const int64_t block = b * k.how.blocks + list - 1;
        write_again(targets + block * picked, size, count, rank, n);
        write_again(places + block * length + kept, size, count, rank, n);
      } else {
        write_again(context + b * kept, size, count, rank, n);
        for (int t = 0; t < k.how.blocks; ++t)
          write_again(places + (b * k.how.blocks + t) * length, size, count, rank, n);
      }
    }
    __syncthreads();
  }
}

}  // namespace

void run(const DrawBlocks& k, Stream stream) {
  constexpr int64_t most = unasked_shared_bytes / 2 / sizeof(uint64_t);
  check(k.how.patches() <= most, "[draw_blocks] got {} patches an image, expected up to {}; use larger patches",
        k.how.patches(), most);
  launch_kernel(draw_blocks_kernel, static_cast<unsigned>(k.batch), threads, k.how.patches() * sizeof(uint64_t), stream,
                k.samples.as<int32_t>(), k.context.as<int32_t>(), k.targets.as<int32_t>(), k.places.as<int32_t>(), k);
}

}  // namespace gestalt::kernels::cuda
