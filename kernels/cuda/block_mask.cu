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

// A warp a view. The mask is in shared memory, and every lane draws the same blocks.
__global__ void __launch_bounds__(32)
    mask_blocks_kernel(const int32_t* samples, int32_t* hidden, int32_t* masked, float* weights, MaskBlocks k) {
  GESTALT_DYNAMIC_SHARED(int32_t, mask);
  const int64_t i = blockIdx.x, view = i / k.batch;
  const uint64_t step = k.step.now();
  const int32_t sample = samples[i % k.batch], patches = k.how.patches();
  const int lane = static_cast<int>(threadIdx.x), most = static_cast<int>(k.most);
  for (int32_t n = lane; n < patches; n += 32) mask[n] = 0;
  __syncthreads();

  // Blocks.
  int number = 0, count = 0;
  const double goal = mask_goal(k.how, mask_words(k.seed, step, sample, view, number++));
  for (int failed = 0; count < goal && failed < MaskSampling::attempts;) {
    const double room = goal - count;
    const PatchBlock block = mask_block(k.how, room, mask_words(k.seed, step, sample, view, number++));
    const auto place = [&](int j) {
      return (block.top + j / block.width) * k.how.columns + block.left + j % block.width;
    };
    int fresh = 0;
    for (int j = lane; j < block.area(); j += 32) fresh += 1 - mask[place(j)];
    fresh = warp_sum(fresh);
    const bool fits = fresh > 0 && fresh <= room;
    __syncthreads();
    if (fits)
      for (int j = lane; j < block.area(); j += 32) mask[place(j)] = 1;
    __syncthreads();
    count += fits ? fresh : 0;
    failed = fits ? 0 : failed + 1;
  }

  // Lists.
  const float weight =
      count > 0 ? static_cast<float>(1 / (static_cast<double>(count) * static_cast<double>(k.views * k.batch))) : 0.0f;
  for (int j = lane; j < most; j += 32) {
    weights[i * most + j] = j < count ? weight : 0.0f;
    if (j >= count) masked[i * most + j] = 0;
  }
  for (int32_t n = lane; n < patches; n += 32) {
    hidden[i * patches + n] = mask[n];
    if (mask[n] == 0) continue;
    int before = 0;
    for (int32_t j = 0; j < n; ++j) before += mask[j];
    masked[i * most + before] = n;
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

void run(const MaskBlocks& k, Stream stream) {
  constexpr int64_t most = unasked_shared_bytes / sizeof(int32_t);
  check(k.how.patches() <= most, "[mask_blocks] got {} patches an image, expected up to {}; use larger patches",
        k.how.patches(), most);
  launch_kernel(mask_blocks_kernel, static_cast<unsigned>(k.views * k.batch), 32, k.how.patches() * sizeof(int32_t),
                stream, k.samples.as<int32_t>(), k.hidden.as<int32_t>(), k.masked.as<int32_t>(), k.weights.as<float>(),
                k);
}

}  // namespace gestalt::kernels::cuda
