// Patches on CUDA: masks by ranking noise, and packs of pixels moved to and from patches.
#include "kernels/patch.h"

#include <cmath>

#include "kernels/cuda/divide.cuh"
#include "kernels/cuda/vector.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

// Splits the number of a pack of picked patches into image, pick, row of pixels and pack of the row.
struct Layout {
  PatchGrid grid;
  Divider row_packs, side, picked;
  int64_t packs;

  Layout(const PatchGrid& g, int64_t picks, int width)
      : grid(g), row_packs(g.side * 3 / width), side(g.side), picked(picks), packs(g.batch * picks * g.size() / width) {
    check(packs < (int64_t{1} << 31), "[gather_patches] got {} packs of elements, expected below 2³¹; smaller batches",
          packs);
  }
};

// Copies patches out of images, or back into them. An index out of range, which nothing can report from here, makes a
// patch of NaN and goes back nowhere.
template <bool Backward, int N, class X, class Y>
__global__ void __launch_bounds__(threads) move_kernel(const X* x, const int32_t* index, Y* y, Layout at) {
  grid_stride(at.packs, [&](int64_t i) {
    auto rest = static_cast<uint32_t>(i);
    const uint32_t column = at.row_packs.split(rest) * N, row = at.side.split(rest), patch = rest;
    const uint32_t k = at.picked.split(rest);
    const int64_t n = index ? index[patch] : k;
    const bool valid = n >= 0 && n < at.grid.patches();
    if (Backward && !valid) return;
    const int64_t pixel = at.grid.row_begin(rest, valid ? n : 0, row) + column;
    const auto in = load_pack<Pack<X, N>>(x + (Backward ? i * N : pixel));
    Pack<Y, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out.v[j] = static_cast<Y>(valid ? static_cast<float>(in.v[j]) : NAN);
    store_pack(y + (Backward ? pixel : i * N), out);
  });
}

template <bool Backward>
void move(In x, In index, Out y, const PatchGrid& grid, int64_t picked, Stream stream) {
  if (grid.batch * picked == 0) return;
  constexpr int widest = 8;
  const bool wide = grid.side % widest == 0 && grid.width % widest == 0 && aligned16(x.data, y.data);
  dispatch_cuda(x.dtype, [&](auto tx) {
    dispatch_cuda(y.dtype, [&](auto ty) {
      using X = decltype(tx);
      using Y = decltype(ty);
      const auto start = [&](auto n) {
        const Layout at(grid, picked, n);
        launch_kernel(move_kernel<Backward, n, X, Y>, blocks_for(at.packs, threads), threads, 0, stream, x.as<X>(),
                      index.as<int32_t>(), y.as<Y>(), at);
      };
      if (wide)
        start(std::integral_constant<int, 16 / std::max(sizeof(X), sizeof(Y))>());
      else
        start(std::integral_constant<int, 1>());
    });
  });
}

// A block an image. The place of a patch in the order is the number of patches before it.
__global__ void __launch_bounds__(threads)
    random_mask_kernel(const int32_t* samples, int32_t* visible, int32_t* places, int32_t* masked, RandomMask k) {
  GESTALT_DYNAMIC_SHARED(uint32_t, noise);
  const int64_t b = blockIdx.x;
  const uint64_t step = k.step.now();
  const int32_t sample = samples[b];
  const int patches = static_cast<int>(k.patches), kept = static_cast<int>(k.kept);
  for (int n = threadIdx.x; n < patches; n += threads) noise[n] = mask_noise(k.seed, step, sample, n);
  __syncthreads();
  if (threadIdx.x == 0) places[b * (1 + kept)] = 0;
  for (int n = threadIdx.x; n < patches; n += threads) {
    const uint32_t mine = noise[n];
    int rank = 0;
    for (int j = 0; j < patches; ++j) rank += noise[j] < mine || (noise[j] == mine && j < n);
    if (rank < kept) {
      visible[b * kept + rank] = n;
      places[b * (1 + kept) + 1 + rank] = n + 1;
    } else {
      masked[b * (patches - kept) + rank - kept] = n;
    }
  }
}

}  // namespace

void run(const GatherPatches& k, Stream stream) { move<false>(k.images, k.index, k.y, k.grid, k.picked, stream); }

void run(const GatherPatchesBackward& k, Stream stream) {
  const size_t bytes = static_cast<size_t>(k.grid.batch * k.grid.height * k.grid.width * 3) * size_of(k.dimages.dtype);
  if (bytes > 0)
    GESTALT_CUDA_CHECK(cudaMemsetAsync(k.dimages.data, 0, bytes, static_cast<cudaStream_t>(stream.handle)));
  move<true>(k.dy, k.index, k.dimages, k.grid, k.picked, stream);
}

void run(const RandomMask& k, Stream stream) {
  constexpr int64_t most = unasked_shared_bytes / sizeof(uint32_t);
  check(k.patches <= most, "[random_mask] got {} patches an image, expected up to {}; use larger patches", k.patches,
        most);
  launch_kernel(random_mask_kernel, static_cast<unsigned>(k.batch), threads, k.patches * sizeof(uint32_t), stream,
                k.samples.as<int32_t>(), k.visible.as<int32_t>(), k.places.as<int32_t>(), k.masked.as<int32_t>(), k);
}

}  // namespace gestalt::kernels::cuda
