// NT-Xent on CUDA: tiles of similarities on the tensor cores; each block owns rows, so that no sum needs an atomic.
#include "kernels/nt_xent.h"

#include <cmath>

#include "kernels/cuda/fragment.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;
constexpr int most_dim = 512;
constexpr int most_forward_splits = 16, most_backward_splits = 2;  // of the columns, as scratch allows
constexpr double log2_e = 1.4426950408889634;

// The block's tiles: `rows` of the matrix, `columns` at a time. Warps stand 4 down, 2 across.
template <class T, int D>
struct Tiles {
  static constexpr bool narrow = sizeof(T) == 2;
  static constexpr int rows = narrow && D <= 256 ? 128 : 64, columns = narrow ? 64 : 32;
  static constexpr int stages = narrow || D <= 256 ? 2 : 1;  // column tiles in memory at once
  static constexpr int row_fragments = rows / 64;            // of 16 rows a warp
  static constexpr int column_pairs = columns / 32;          // of 16 columns a warp
  static constexpr int pitch = D + row_padding, weight_pitch = columns + row_padding;
  static constexpr size_t bytes(bool backward) {
    return sizeof(T) * ((rows + stages * columns) * pitch + (backward ? rows * weight_pitch : 0));
  }
};

// What both passes read and write, in the scratch of the launch.
template <class T>
struct Work {
  int64_t rows, padded_rows, dim, pitch;  // pitch: of unit rows and of gradients
  T* units;                               // (padded_rows, pitch), zeros outside (rows, dim)
  float* gradient;                        // (splits, padded_rows, pitch), of the unit rows
  float* partial;                         // (splits, padded_rows) row sums; backward: 1 / row_sum, or 0
  float scale, offset;                    // e^(s/τ − offset) = 2^(scale·s − offset)

  template <class K>
  explicit Work(const K& k) : rows(k.rows), dim(k.dim) {
    padded_rows = divide_up(rows, 64) * 64;
    pitch = divide_up(dim, 64) * 64;
    float* scratch = k.scratch.template as<float>();
    units = reinterpret_cast<T*>(scratch);
    gradient = scratch + padded_rows * pitch;
    partial = scratch + 3 * padded_rows * pitch;
    scale = static_cast<float>(log2_e / k.temperature);
    offset = static_cast<float>(log2_e * nt_xent_offset(k.temperature));
  }
};

// A warp a row: its inverse norm, found or given, and its unit row.
template <class T>
__global__ void __launch_bounds__(threads)
    unit_rows_kernel(Work<T> w, const T* z, float* inv_norm, const float* row_sum) {
  const int lane = threadIdx.x % 32;
  const int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32;
  if (i >= w.padded_rows) return;
  float inverse = 0;
  if (i < w.rows) {
    if (row_sum) {
      inverse = inv_norm[i];
    } else {
      double squares = 0;
      for (int64_t d = lane; d < w.dim; d += 32) {
        const double x = static_cast<float>(z[i * w.dim + d]);
        squares += x * x;
      }
      squares = warp_sum(squares);
      inverse = squares > 1e-24 ? static_cast<float>(1 / sqrt(squares)) : 0.0f;
      if (lane == 0) inv_norm[i] = inverse;
    }
  }
  if (row_sum && lane == 0) w.partial[i] = i < w.rows ? 1 / row_sum[i] : 0.0f;
  for (int64_t d = lane; d < w.pitch; d += 32)
    w.units[i * w.pitch + d] =
        i < w.rows && d < w.dim ? static_cast<T>(static_cast<float>(z[i * w.dim + d]) * inverse) : static_cast<T>(0.0f);
}

// The weights e_ij (1/l_i + 1/l_j) of the warp's similarities, with 0 on the diagonal, to the tile in shared memory.
template <class T, int D>
__device__ __forceinline__ void write_weights(
    const Work<T>& w, const float (&s)[Tiles<T, D>::row_fragments][2 * Tiles<T, D>::column_pairs][4], int64_t first_row,
    int64_t first_column, int row_at, int column_at, T* weights) {
  using Tile = Tiles<T, D>;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = row_at + 16 * m + 8 * half + g;
      const int64_t i = first_row + row;
      const float inv_i = i < w.rows ? w.partial[i] : 0.0f;
#pragma unroll
      for (int n = 0; n < 2 * Tile::column_pairs; ++n) {
        Pack<T, 2> pair;
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int64_t j = first_column + column_at + 8 * n + 2 * t + e;
          const float weight =
              exp2_fast(s[m][n][2 * half + e] * w.scale - w.offset) * (inv_i + (j < w.rows ? w.partial[j] : 0.0f));
          pair.v[e] = static_cast<T>(i == j ? 0.0f : weight);
        }
        store_pack(weights + row * Tile::weight_pitch + column_at + 8 * n + 2 * t, pair);
      }
    }
}

// Adds the exponentials of the warp's similarities to the sums of its rows; sums[m][half] is of row 16m + 8·half + g.
template <class T, int D>
__device__ __forceinline__ void add_exponentials(
    const Work<T>& w, const float (&s)[Tiles<T, D>::row_fragments][2 * Tiles<T, D>::column_pairs][4], int64_t first_row,
    int64_t first_column, float (&sums)[Tiles<T, D>::row_fragments][2]) {
  using Tile = Tiles<T, D>;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
    for (int n = 0; n < 2 * Tile::column_pairs; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t i = first_row + 16 * m + e / 2 * 8 + g, j = first_column + 8 * n + 2 * t + e % 2;
        if (i != j && j < w.rows) sums[m][e / 2] += exp2_fast(s[m][n][e] * w.scale - w.offset);
      }
}

// Joins the row sums of the lanes and of the two warps side by side, and writes them.
template <class T, int D>
__device__ __forceinline__ void write_sums(const Work<T>& w, float (&sums)[Tiles<T, D>::row_fragments][2], int row_at,
                                           int across, int64_t first_row) {
  using Tile = Tiles<T, D>;
  GESTALT_SHARED(float, of_warp, [2][Tile::rows]);
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = sums[m][half];
      sum += __shfl_xor_sync(full_warp, sum, 1);
      sum += __shfl_xor_sync(full_warp, sum, 2);
      if (t == 0) of_warp[across][row_at + 16 * m + 8 * half + g] = sum;
    }
  __syncthreads();
  for (int r = threadIdx.x; r < Tile::rows; r += threads)
    if (first_row + r < w.rows) w.partial[blockIdx.y * w.padded_rows + first_row + r] = of_warp[0][r] + of_warp[1][r];
}

// Walks one split of the columns. Forward: sums of exponentials. Backward: the gradient of the unit rows.
template <class T, int D, bool backward>
__global__ void __launch_bounds__(threads, 1) similarity_kernel(Work<T> w, int tiles_per_split) {
  using Tile = Tiles<T, D>;
  using F = Fragments<T>;
  constexpr int gradient_pairs = D / 32;  // of 16 of the warp's columns of the gradient: half of D
  GESTALT_DYNAMIC_SHARED(T, row_tile);
  T* column_tiles = row_tile + Tile::rows * Tile::pitch;
  T* weights = column_tiles + Tile::stages * Tile::columns * Tile::pitch;
  const int warp = threadIdx.x / 32, across = warp % 2;
  const int row_at = warp / 2 * 16 * Tile::row_fragments, column_at = across * 16 * Tile::column_pairs;
  const int64_t first_row = blockIdx.x * int64_t{Tile::rows};
  const int tile_count = static_cast<int>((w.rows + Tile::columns - 1) / Tile::columns);
  const int begin = blockIdx.y * tiles_per_split;
  const int end = begin + tiles_per_split < tile_count ? begin + tiles_per_split : tile_count;

  auto load = [&](T* to, int64_t first, int rows) {
    begin_tile<T, D, threads>(to, Tile::pitch, w.units + first * w.pitch, w.pitch, rows, w.padded_rows - first,
                              w.pitch);
  };
  auto load_columns = [&](int tile) {
    load(column_tiles + tile % Tile::stages * Tile::columns * Tile::pitch, tile * int64_t{Tile::columns},
         Tile::columns);
  };
  load(row_tile, first_row, Tile::rows);
  if (Tile::stages > 1 && begin < end) load_columns(begin);
  commit_copies();

  float sums[Tile::row_fragments][2] = {};
  float gradient[backward ? Tile::row_fragments : 1][backward ? 2 * gradient_pairs : 1][4] = {};
  for (int tile = begin; tile < end; ++tile) {
    if (Tile::stages == 1) load_columns(tile);
    if (Tile::stages > 1 && tile + 1 < end) load_columns(tile + 1);
    commit_copies();
    wait_copies<Tile::stages - 1>();
    __syncthreads();
    const T* columns = column_tiles + tile % Tile::stages * Tile::columns * Tile::pitch;
    const int64_t first_column = tile * int64_t{Tile::columns};

    float s[Tile::row_fragments][2 * Tile::column_pairs][4] = {};
#pragma unroll 2
    for (int k = 0; k < D; k += F::depth) {
      typename F::A a[Tile::row_fragments];
#pragma unroll
      for (int m = 0; m < Tile::row_fragments; ++m)
        a[m] = F::load_a(row_tile + (row_at + 16 * m) * Tile::pitch + k, Tile::pitch);
#pragma unroll
      for (int n = 0; n < Tile::column_pairs; ++n) {
        typename F::B b[2];
        F::load_b(b, columns + (column_at + 16 * n) * Tile::pitch + k, Tile::pitch);
#pragma unroll
        for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
          for (int i = 0; i < 2; ++i) F::multiply(s[m][2 * n + i], a[m], b[i]);
      }
    }

    if constexpr (!backward) {
      add_exponentials<T, D>(w, s, first_row + row_at, first_column + column_at, sums);
    } else {
      write_weights<T, D>(w, s, first_row, first_column, row_at, column_at, weights);
      __syncthreads();
#pragma unroll
      for (int k = 0; k < Tile::columns; k += F::depth) {
        typename F::A a[Tile::row_fragments];
#pragma unroll
        for (int m = 0; m < Tile::row_fragments; ++m)
          a[m] = F::load_a(weights + (row_at + 16 * m) * Tile::weight_pitch + k, Tile::weight_pitch);
#pragma unroll
        for (int n = 0; n < gradient_pairs; ++n) {
          typename F::B b[2];
          F::load_b_rows(b, columns + k * Tile::pitch + across * (D / 2) + 16 * n, Tile::pitch);
#pragma unroll
          for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
            for (int i = 0; i < 2; ++i) F::multiply(gradient[m][2 * n + i], a[m], b[i]);
        }
      }
    }
    __syncthreads();  // the stage and the weights are free again
  }
  wait_copies<0>();

  if constexpr (!backward) {
    write_sums<T, D>(w, sums, row_at, across, first_row);
  } else {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    float* to = w.gradient + blockIdx.y * w.padded_rows * w.pitch;
#pragma unroll
    for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
      for (int n = 0; n < 2 * gradient_pairs; ++n)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int64_t i = first_row + row_at + 16 * m + 8 * half + g, d = across * (D / 2) + 8 * n + 2 * t;
          if (i < w.rows && d < w.pitch)
            store_pack(to + i * w.pitch + d, Pack<float, 2>{gradient[m][n][2 * half], gradient[m][n][2 * half + 1]});
        }
  }
}

// A warp a row: its sum over the splits, and its term of the loss in place of the first split's sum.
template <class T>
__global__ void __launch_bounds__(threads) row_loss_kernel(Work<T> w, const T* z, const float* inv_norm, float* row_sum,
                                                           int splits, float inv_temperature, float offset) {
  const int lane = threadIdx.x % 32;
  const int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32;
  if (i >= w.rows) return;
  const int64_t positive = (i + w.rows / 2) % w.rows;
  float dot = 0;
  for (int64_t d = lane; d < w.dim; d += 32)
    dot += (static_cast<float>(z[i * w.dim + d]) * inv_norm[i]) *
           (static_cast<float>(z[positive * w.dim + d]) * inv_norm[positive]);
  dot = warp_sum(dot);
  if (lane != 0) return;
  float sum = 0;
  for (int s = 0; s < splits; ++s) sum += w.partial[s * w.padded_rows + i];
  row_sum[i] = sum;
  w.partial[i] = logf(sum) + offset - dot * inv_temperature;
}

__global__ void __launch_bounds__(threads) mean_kernel(const float* terms, float* loss, int64_t rows) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < rows; i += threads) sum += terms[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) loss[0] = static_cast<float>(sum / static_cast<double>(rows));
}

// A warp a row: the gradient of the unit row less its positive's, then through u = z/‖z‖, which drops the part along u.
template <class T>
__global__ void __launch_bounds__(threads)
    finish_rows_kernel(Work<T> w, const T* z, const float* inv_norm, const float* dy, T* dz, int splits,
                       double inv_temperature) {
  const int lane = threadIdx.x % 32;
  const int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32;
  if (i >= w.rows) return;
  const int64_t positive = (i + w.rows / 2) % w.rows;
  const float inv_i = inv_norm[i], inv_p = inv_norm[positive];
  const float length = static_cast<float>(dy[0] * inv_temperature / static_cast<double>(w.rows)) * inv_i;
  float du[most_dim / 32], along = 0;
#pragma unroll
  for (int n = 0; n < most_dim / 32; ++n) {
    const int64_t d = lane + 32 * n;
    du[n] = 0;
    if (d >= w.dim) continue;
    for (int s = 0; s < splits; ++s) du[n] += w.gradient[(s * w.padded_rows + i) * w.pitch + d];
    du[n] -= 2 * (static_cast<float>(z[positive * w.dim + d]) * inv_p);
    along += du[n] * (static_cast<float>(z[i * w.dim + d]) * inv_i);
  }
  along = warp_sum(along);
#pragma unroll
  for (int n = 0; n < most_dim / 32; ++n) {
    const int64_t d = lane + 32 * n;
    if (d < w.dim)
      dz[i * w.dim + d] = static_cast<T>(length * (du[n] - along * (static_cast<float>(z[i * w.dim + d]) * inv_i)));
  }
}

// Starts the walk over all pairs; returns into how many splits the columns were cut, a function of the shape alone.
template <class T, int D, bool backward>
int walk(const Work<T>& w, Stream stream) {
  using Tile = Tiles<T, D>;
  const int64_t blocks = divide_up(w.rows, Tile::rows), tiles = divide_up(w.rows, Tile::columns);
  constexpr int64_t wanted = 256;  // blocks, for some two on each multiprocessor
  const int64_t most = backward ? most_backward_splits : most_forward_splits;
  const int64_t splits = std::min({divide_up(wanted, blocks), tiles, most});
  const int64_t tiles_per_split = divide_up(tiles, splits), used = divide_up(tiles, tiles_per_split);
  launch_kernel(similarity_kernel<T, D, backward>, dim3(blocks, used), threads, Tile::bytes(backward), stream, w,
                static_cast<int>(tiles_per_split));
  return static_cast<int>(used);
}

template <bool backward, class T>
int walk(const Work<T>& w, Stream stream) {
  check(w.dim <= most_dim, "[NtXent] got rows of {}, expected at most {} on cuda; use --device cpu", w.dim, most_dim);
  if (w.dim <= 64) return walk<T, 64, backward>(w, stream);
  if (w.dim <= 128) return walk<T, 128, backward>(w, stream);
  if (w.dim <= 256) return walk<T, 256, backward>(w, stream);
  return walk<T, 512, backward>(w, stream);
}

}  // namespace

void run(const NtXent& k, Stream stream) {
  dispatch_cuda(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    const Work<T> w(k);
    const T* z = k.z.as<T>();
    float *inv_norm = k.inv_norm.as<float>(), *row_sum = k.row_sum.as<float>();
    launch_kernel(unit_rows_kernel<T>, divide_up(w.padded_rows, warps), threads, 0, stream, w, z, inv_norm, nullptr);
    const int splits = walk<false>(w, stream);
    launch_kernel(row_loss_kernel<T>, divide_up(w.rows, warps), threads, 0, stream, w, z, inv_norm, row_sum, splits,
                  static_cast<float>(1 / k.temperature), static_cast<float>(nt_xent_offset(k.temperature)));
    launch_kernel(mean_kernel, 1, threads, 0, stream, w.partial, k.loss.as<float>(), w.rows);
  });
}

void run(const NtXentBackward& k, Stream stream) {
  dispatch_cuda(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    const Work<T> w(k);
    const T* z = k.z.as<T>();
    float* inv_norm = const_cast<float*>(k.inv_norm.as<float>());  // read: it is given
    launch_kernel(unit_rows_kernel<T>, divide_up(w.padded_rows, warps), threads, 0, stream, w, z, inv_norm,
                  k.row_sum.as<float>());
    const int splits = walk<true>(w, stream);
    launch_kernel(finish_rows_kernel<T>, divide_up(w.rows, warps), threads, 0, stream, w, z, inv_norm, k.dy.as<float>(),
                  k.dz.as<T>(), splits, 1 / k.temperature);
  });
}

}  // namespace gestalt::kernels::cuda
