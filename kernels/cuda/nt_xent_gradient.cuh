// NT-Xent's scratch on CUDA, and the walks over tiles that gather the gradient of its unit rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/cuda/nt_xent_tiles.cuh"
#include "kernels/nt_xent.h"

namespace gestalt::kernels::cuda {

// What both passes read and write, in the scratch of the launch.
template <class T>
struct Work {
  int64_t rows, padded_rows, dim, pitch;  // pitch: of unit rows and of gradients
  T* units;                               // (padded_rows, pitch), zeros outside (rows, dim)
  float* gradient;                        // (parts, padded_rows, pitch), of the unit rows
  float* crossed;                         // the same memory, forward: column sums, (steps of a walk, padded_rows)
  float* partial;                         // (parts, padded_rows) row sums; backward: 1 / row_sum, or 0
  int gradient_parts;
  float scale, offset;  // e^(s/τ − offset) = 2^(scale·s − offset)

  template <class K>
  Work(const K& k, Scratch memory) : rows(k.rows), dim(k.dim) {
    const NtXentScratch<T, float> s(memory, Device::cuda, rows, dim);
    padded_rows = s.padded_rows, pitch = s.padded_dim;
    units = s.units, gradient = crossed = s.gradient, partial = s.partial;
    gradient_parts = static_cast<int>(s.gradient_parts);
    scale = static_cast<float>(log2_e / k.temperature);
    offset = static_cast<float>(log2_e * nt_xent_offset(k.temperature));
  }
};

// Begins the copies of `count` unit rows from row `first` on to a tile.
template <class Tile, class T>
__device__ __forceinline__ void load_units(const Work<T>& w, T* to, int64_t first, int count) {
  begin_tile<T, Tile::dim, Tile::threads>(to, Tile::pitch, w.units + first * w.pitch, w.pitch, count,
                                          w.padded_rows - first, w.pitch);
}

// Walks the columns of part blockIdx.y: the gradient of the unit rows.
template <class Tile, class T = typename Tile::Element>
__global__ void __launch_bounds__(Tile::threads, 1) gradient_kernel(Work<T> w, int tiles_of_part) {
  using F = Fragments<T>;
  GESTALT_DYNAMIC_SHARED(T, row_tile);
  T* column_tiles = row_tile + Tile::rows * Tile::pitch;
  T* weights = column_tiles + Tile::stages * Tile::columns * Tile::pitch;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, gradient_at = Tile::across_at() * 16 * Tile::gradient_pairs;
  const int64_t first_row = blockIdx.x * int64_t{Tile::rows};
  const int tile_count = static_cast<int>((w.rows + Tile::columns - 1) / Tile::columns);
  const int begin = blockIdx.y * tiles_of_part;
  const int end = begin + tiles_of_part < tile_count ? begin + tiles_of_part : tile_count;

  auto load_columns = [&](int tile) {
    load_units<Tile>(w, column_tiles + tile % Tile::stages * Tile::columns * Tile::pitch, tile * int64_t{Tile::columns},
                     Tile::columns);
  };
  load_units<Tile>(w, row_tile, first_row, Tile::rows);
  if (Tile::stages > 1 && begin < end) load_columns(begin);
  commit_copies();
  float of_row[Tile::row_fragments][2];
#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t i = first_row + Tile::row_at() + 16 * m + 8 * half + g;
      of_row[m][half] = i < w.rows ? w.partial[i] : 0.0f;
    }

  float gradient[Tile::row_fragments][2 * Tile::gradient_pairs][4] = {};
  for (int tile = begin; tile < end; ++tile) {
    if (Tile::stages == 1) load_columns(tile);
    if (Tile::stages > 1 && tile + 1 < end) load_columns(tile + 1);
    commit_copies();
    wait_copies<Tile::stages - 1>();
    __syncthreads();
    const T* columns = column_tiles + tile % Tile::stages * Tile::columns * Tile::pitch;
    typename Tile::Sums s = {};
    multiply_tiles<Tile>(s, row_tile, columns);

    // The weights e_ij (1/l_i + 1/l_j), with 0 on the diagonal.
    const int64_t first_column = tile * int64_t{Tile::columns};
    const bool diagonal = first_column < first_row + Tile::rows && first_row < first_column + Tile::columns;
    const float* of_column = w.partial + first_column + Tile::column_at() + 2 * t;
#pragma unroll
    for (int n = 0; n < 2 * Tile::column_pairs; ++n) {
      const auto inverse = load_pack<Pack<float, 2>>(of_column + 8 * n);
#pragma unroll
      for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = Tile::row_at() + 16 * m + 8 * half + g, column = Tile::column_at() + 8 * n + 2 * t;
          float v[2];
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            v[e] = exp2_fast(s[m][n][2 * half + e] * w.scale - w.offset) * (of_row[m][half] + inverse.v[e]);
            if (diagonal && first_row + row == first_column + column + e) v[e] = 0;
          }
          F::store_pair(weights + row * Tile::weight_pitch + column, v[0], v[1]);
        }
    }
    __syncthreads();
    multiply_weights<Tile>(gradient, weights, columns, gradient_at);
    __syncthreads();  // the stage and the weights are free again
  }
  wait_copies<0>();
  float* part = w.gradient + blockIdx.y * w.padded_rows * w.pitch;

  store_gradient<Tile>(part, w.pitch, w.rows, gradient, first_row, gradient_at);
}

// The same where a warp holds all of the gradient of its rows, and all similarities of theirs: the weights go from the
// one product's sums to the other's factor in registers, and only the columns' stages need a barrier.
template <class Band, class T = typename Band::Element>
__global__ void __launch_bounds__(Band::threads, 1) band_gradient_kernel(Work<T> w, int tiles_of_part) {
  using F = Fragments<T>;
  using Strip = Tile<T, Band::dim, Band::rows, 32, Band::stages, Band::down, 1>;  // of columns, whose sums fit beside
  GESTALT_DYNAMIC_SHARED(T, row_tile);
  T* column_tiles = row_tile + Band::rows * Band::pitch;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int64_t first_row = blockIdx.x * int64_t{Band::rows};
  const int tile_count = static_cast<int>((w.rows + Band::columns - 1) / Band::columns);
  const int begin = blockIdx.y * tiles_of_part;
  const int end = begin + tiles_of_part < tile_count ? begin + tiles_of_part : tile_count;

  auto stage = [&](int tile) { return column_tiles + tile % Band::stages * Band::columns * Band::pitch; };
  load_units<Band>(w, row_tile, first_row, Band::rows);
  if (begin < end) load_units<Band>(w, stage(begin), begin * int64_t{Band::columns}, Band::columns);
  commit_copies();
  float of_row[Band::row_fragments][2];
#pragma unroll
  for (int m = 0; m < Band::row_fragments; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t i = first_row + Band::row_at() + 16 * m + 8 * half + g;
      of_row[m][half] = i < w.rows ? w.partial[i] : 0.0f;
    }

  float gradient[Band::row_fragments][2 * Band::gradient_pairs][4] = {};
  for (int tile = begin; tile < end; ++tile) {
    wait_copies<0>();
    float* part = w.gradient + blockIdx.y * w.padded_rows * w.pitch;
    __syncthreads();  // this tile is there, and the stage of the one before free again
    if (tile + 1 < end) load_units<Band>(w, stage(tile + 1), (tile + 1) * int64_t{Band::columns}, Band::columns);
    commit_copies();
#pragma unroll 1
    for (int at = 0; at < Band::columns; at += Strip::columns) {
      const T* columns = stage(tile) + at * Band::pitch;
      typename Strip::Sums s = {};
      multiply_tiles<Strip>(s, row_tile, columns);

      // The weights e_ij (1/l_i + 1/l_j), with 0 on the diagonal.
      const int64_t first_column = tile * int64_t{Band::columns} + at;
      const auto offset = static_cast<int>(first_row + Band::row_at() - first_column) + g - 2 * t;  // row − column
      const bool diagonal = first_column < first_row + Band::rows && first_row < first_column + Strip::columns;
      const float* of_column = w.partial + first_column + 2 * t;
#pragma unroll
      for (int n = 0; n < 2 * Strip::column_pairs; ++n) {
        const auto inverse = load_pack<Pack<float, 2>>(of_column + 8 * n);
#pragma unroll
        for (int m = 0; m < Strip::row_fragments; ++m)
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            float& v = s[m][n][e];
            v = exp2_fast(v * w.scale - w.offset) * (of_row[m][e / 2] + inverse.v[e % 2]);
            if (diagonal && offset + 16 * m + 8 * (e / 2) == 8 * n + e % 2) v = 0;
          }
      }
#pragma unroll
      for (int k = 0; k < Strip::columns; k += F::depth) {
        constexpr int fragments = F::depth / 8;  // of the sums that make a factor
        typename F::A a[Strip::row_fragments];
#pragma unroll
        for (int m = 0; m < Strip::row_fragments; ++m) a[m] = F::from_sums(&s[m][k / F::depth * fragments]);
#pragma unroll
        for (int n = 0; n < Band::gradient_pairs; ++n) {
          typename F::B b[2];
          F::load_b_rows(b, columns + k * Band::pitch + 16 * n, Band::pitch);
#pragma unroll
          for (int m = 0; m < Strip::row_fragments; ++m)
#pragma unroll
            for (int i = 0; i < 2; ++i) F::multiply(gradient[m][2 * n + i], a[m], b[i]);
        }
      }
    }
  }
  wait_copies<0>();
  float* part = w.gradient + blockIdx.y * w.padded_rows * w.pitch;
  store_gradient<Band>(part, w.pitch, w.rows, gradient, first_row, 0);
}

// Calls f(Tile) with the tile for these rows.
template <class T, class F>
auto with_tile(const Work<T>& w, bool backward, F&& f) {
  check(w.dim <= most_dim, "[nt_xent] got rows of {}, expected at most {} on cuda; use --device cpu", w.dim, most_dim);
  if (w.dim <= 64) return with_tile(typename TilesFor<T, 64>::Type(), backward, f);
  if (w.dim <= 128) return with_tile(typename TilesFor<T, 128>::Type(), backward, f);
  if (w.dim <= 256) return with_tile(typename TilesFor<T, 256>::Type(), backward, f);
  return with_tile(typename TilesFor<T, 512>::Type(), backward, f);
}

// Launches the kernel of such tiles on all rows and columns; returns in how many parts the gradients are.
template <class Tile, class T, class Kernel>
int gather_gradients(Kernel kernel, size_t bytes, const Work<T>& w, Stream stream) {
  constexpr int64_t wanted = 132;  // blocks, of which a multiprocessor holds one
  const int64_t blocks = divide_up(w.rows, Tile::rows), tiles = divide_up(w.rows, Tile::columns);
  const int64_t cut = std::min({divide_up(wanted, blocks), tiles, int64_t{w.gradient_parts}});
  const int64_t tiles_of_part = divide_up(tiles, cut), parts = divide_up(tiles, tiles_of_part);
  launch_kernel(kernel, dim3(blocks, parts), Tile::threads, bytes, stream, w, static_cast<int>(tiles_of_part));
  return static_cast<int>(parts);
}

template <class T>
int gather_gradients(const Work<T>& w, Stream stream) {
  const auto banded = [&](auto band) {
    using Band = decltype(band);
    return gather_gradients<Band>(band_gradient_kernel<Band>, Band::bytes(false), w, stream);
  };
  if constexpr (std::is_same_v<T, BFloat16>) {
    if (w.dim <= 64) return banded(BandFor<64>());
    if (w.dim <= 128 && BandFor<128>::bytes(false) <= most_shared_bytes()) return banded(BandFor<128>());
    if (w.dim <= 256 && w.dim > 128 && BandFor<256>::bytes(false) <= most_shared_bytes()) return banded(BandFor<256>());
  }
  return with_tile(w, true, [&](auto tile) {
    using Tile = decltype(tile);
    return gather_gradients<Tile>(gradient_kernel<Tile>, Tile::bytes(true), w, stream);
  });
}

}  // namespace gestalt::kernels::cuda
