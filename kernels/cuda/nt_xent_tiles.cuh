// The tiles that contrastive losses walk their matrix in, by dtype, width of the rows and shared memory of the device.
#pragma once

#include "kernels/cuda/fragment.cuh"

namespace gestalt::kernels::cuda {

constexpr double log2_e = 1.4426950408889634;  // e^x is computed as 2^(x·log2_e)
constexpr int most_dim = 512;                  // of the rows that there are tiles for

// The block's tiles: `rows` of the matrix, `columns` at a time, `stages` of those in memory at once. Warps stand `down`
// × `across`.
template <class T, int D, int Rows, int Columns, int Stages, int Down = 4, int Across = 2>
struct Tile {
  using Element = T;
  static constexpr int dim = D, rows = Rows, columns = Columns, stages = Stages, down = Down, across = Across;
  static constexpr int threads = 32 * Down * Across;
  static constexpr int row_fragments = Rows / (16 * Down);      // of 16 rows a warp
  static constexpr int column_pairs = Columns / (16 * Across);  // of 16 columns a warp
  static constexpr int gradient_pairs = D / (16 * Across);      // of 16 of the gradient's columns a warp
  static constexpr int pitch = D + row_padding, weight_pitch = Columns + row_padding;
  static constexpr size_t bytes(bool backward) {
    return sizeof(T) * ((Rows + Stages * Columns) * pitch + (backward ? Rows * weight_pitch : 0));
  }
  // A warp's similarities, rows and columns of which are row_at(), column_at() and on.
  using Sums = float[row_fragments][2 * column_pairs][4];
  __device__ static __forceinline__ int row_at() {
    return static_cast<int>(threadIdx.x) / 32 / Across * 16 * row_fragments;
  }
  __device__ static __forceinline__ int across_at() { return static_cast<int>(threadIdx.x) / 32 % Across; }
  __device__ static __forceinline__ int column_at() { return across_at() * 16 * column_pairs; }
};

// The tiles for rows of up to D elements, largest first: a device takes the first that its blocks have the shared
// memory for, which is 227 KiB on sm_90, 163 KiB on sm_80, 99 KiB on sm_86 and sm_89.
template <class... Tiles>
struct Choice {};
template <class T, int D>
struct TilesFor;
template <int D>
struct TilesFor<BFloat16, D> {
  using Type = Choice<Tile<BFloat16, D, 128, 64, 2>>;
};
template <>
struct TilesFor<BFloat16, 256> {
  using Type = Choice<Tile<BFloat16, 256, 128, 64, 2>, Tile<BFloat16, 256, 64, 32, 2>>;
};
template <>
struct TilesFor<BFloat16, 512> {
  using Type =
      Choice<Tile<BFloat16, 512, 64, 64, 2>, Tile<BFloat16, 512, 64, 64, 1>, Tile<BFloat16, 512, 32, 32, 1, 2>>;
};
template <int D>
struct TilesFor<float, D> {
  using Type = Choice<Tile<float, D, 64, 32, 2>>;
};
template <>
struct TilesFor<float, 256> {
  using Type = Choice<Tile<float, 256, 64, 32, 2>, Tile<float, 256, 32, 32, 1, 2>>;
};
template <>
struct TilesFor<float, 512> {
  using Type = Choice<Tile<float, 512, 64, 32, 1>, Tile<float, 512, 32, 32, 1, 2>>;
};

// Tiles of the gradient in bf16 whose warps stand below each other alone, and hold 128 numbers of it a thread.
template <int D>
constexpr int band_rows = D <= 128 ? 256 : 128;
template <int D>
using BandFor = Tile<BFloat16, D, band_rows<D>, 64, 2, 8, 1>;

// The warp's products of the tiles' rows.
template <class Tile, class T>
__device__ __forceinline__ void multiply_tiles(typename Tile::Sums& s, const T* row_tile, const T* columns) {
  using F = Fragments<T>;
#pragma unroll 2
  for (int k = 0; k < Tile::dim; k += F::depth) {
    typename F::A a[Tile::row_fragments];
#pragma unroll
    for (int m = 0; m < Tile::row_fragments; ++m)
      a[m] = F::load_a(row_tile + (Tile::row_at() + 16 * m) * Tile::pitch + k, Tile::pitch);
#pragma unroll
    for (int n = 0; n < Tile::column_pairs; ++n) {
      typename F::B b[2];
      F::load_b(b, columns + (Tile::column_at() + 16 * n) * Tile::pitch + k, Tile::pitch);
#pragma unroll
      for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
        for (int i = 0; i < 2; ++i) F::multiply(s[m][2 * n + i], a[m], b[i]);
    }
  }
}

// Adds the warp's products of weights (rows, columns) and the columns' tile to its part of a gradient, which begins at
// column `first`.
template <class Tile, class T>
__device__ __forceinline__ void multiply_weights(float (&gradient)[Tile::row_fragments][2 * Tile::gradient_pairs][4],
                                                 const T* weights, const T* columns, int first) {
  using F = Fragments<T>;
#pragma unroll
  for (int k = 0; k < Tile::columns; k += F::depth) {
    typename F::A a[Tile::row_fragments];
#pragma unroll
    for (int m = 0; m < Tile::row_fragments; ++m)
      a[m] = F::load_a(weights + (Tile::row_at() + 16 * m) * Tile::weight_pitch + k, Tile::weight_pitch);
#pragma unroll
    for (int n = 0; n < Tile::gradient_pairs; ++n) {
      typename F::B b[2];
      F::load_b_rows(b, columns + k * Tile::pitch + first + 16 * n, Tile::pitch);
#pragma unroll
      for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
        for (int i = 0; i < 2; ++i) F::multiply(gradient[m][2 * n + i], a[m], b[i]);
    }
  }
}

// Stores the warp's part of a gradient (rows, pitch), which begins at column `first`, in `to`.
template <class Tile>
__device__ __forceinline__ void store_gradient(
    float* to, int64_t pitch, int64_t rows, const float (&gradient)[Tile::row_fragments][2 * Tile::gradient_pairs][4],
    int64_t first_row, int first) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
    for (int n = 0; n < 2 * Tile::gradient_pairs; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t i = first_row + Tile::row_at() + 16 * m + 8 * half + g, d = first + 8 * n + 2 * t;
        if (i < rows && d < pitch)
          store_pack(to + i * pitch + d, Pack<float, 2>{gradient[m][n][2 * half], gradient[m][n][2 * half + 1]});
      }
}

// Calls f(Tile) with the first tile that fits, or the last.
template <class F, class First, class... Rest>
auto with_tile(Choice<First, Rest...>, bool backward, F&& f) {
  constexpr size_t unseen = 4 << 10;  // at least what a kernel declares beside its tiles
  if constexpr (sizeof...(Rest) > 0)
    if (First::bytes(backward) + unseen > most_shared_bytes()) return with_tile(Choice<Rest...>(), backward, f);
  return f(First());
}

}  // namespace gestalt::kernels::cuda
