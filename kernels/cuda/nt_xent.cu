// NT-Xent on CUDA: tiles of similarities on the tensor cores; each block owns rows, so that no sum needs an atomic.
#include "kernels/nt_xent.h"

#include <cmath>

#include "kernels/cuda/nt_xent_tiles.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;  // of the kernels that walk over rows, a warp a row
constexpr int most_dim = 512;
constexpr double log2_e = 1.4426950408889634;

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

// Begins the copies of `count` unit rows from row `first` on to a tile.
template <class Tile, class T>
__device__ __forceinline__ void load_units(const Work<T>& w, T* to, int64_t first, int count) {
  begin_tile<T, Tile::dim, Tile::threads>(to, Tile::pitch, w.units + first * w.pitch, w.pitch, count,
                                          w.padded_rows - first, w.pitch);
}

// Calls f(m, half, n, element of the pair, e^(s/τ − offset)) for the similarities of the warp.
template <class Tile, class T, class F>
__device__ __forceinline__ void each_exponential(const Work<T>& w, const typename Tile::Sums& s, F&& f) {
#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
    for (int n = 0; n < 2 * Tile::column_pairs; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) f(m, e / 2, n, e % 2, exp2_fast(s[m][n][e] * w.scale - w.offset));
}

// The sums over the eight lanes of one t: lane g keeps that of v[g · count / 8], in count / 2 + … + 1 exchanges.
template <int count>
__device__ __forceinline__ float scatter_sum(float (&v)[count]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int bit = 16, held = count; bit >= 4; bit /= 2) {
    if (held == 1) {
      v[0] += __shfl_xor_sync(full_warp, v[0], bit);
      continue;
    }
    held /= 2;
    const bool upper = lane & bit;
#pragma unroll
    for (int i = 0; i < held; ++i) {
      const float keep = upper ? v[i + held] : v[i], give = upper ? v[i] : v[i + held];
      v[i] = keep + __shfl_xor_sync(full_warp, give, bit);
    }
  }
  return v[0];
}

// Sums over the rows of a tile's columns: each warp's in shared memory, then, after a barrier, all of them in memory.
template <class Tile>
struct ColumnSums {
  static constexpr int count = 4 * Tile::column_pairs;  // of a thread
  float v[count] = {};

  __device__ __forceinline__ void add(int n, int e, float x) { v[2 * n + e] += x; }
  __device__ __forceinline__ void share(float (*of_warp)[Tile::columns]) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, at = g * count / 8;
    const float sum = scatter_sum(v);
    if (g % (8 / count) == 0)
      of_warp[threadIdx.x / 32 / Tile::across][Tile::column_at() + at / 2 * 8 + 2 * t + at % 2] = sum;
  }
};

// The matrix is symmetric: a block takes its own square of it and, `step` blocks on, those that the other blocks leave
// to it, for a sum down the columns is a sum along the rows of the block there. Half way around, a pair of blocks meets
// twice; the first of the two takes the square. Part blockIdx.y of steps [begin, end).
template <class Tile, class T = typename Tile::Element>
__global__ void __launch_bounds__(Tile::threads, 1) row_sums_kernel(Work<T> w, int begin, int end, int steps_of_part) {
  constexpr int tiles_of_step = Tile::rows / Tile::columns;
  GESTALT_DYNAMIC_SHARED(T, row_tile);
  GESTALT_SHARED(float, of_warp, [Tile::down][Tile::columns]);
  GESTALT_SHARED(float, of_row, [Tile::across][Tile::rows]);
  T* column_tiles = row_tile + Tile::rows * Tile::pitch;
  const int blocks = gridDim.x, a = blockIdx.x, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int first_step = begin + blockIdx.y * steps_of_part;
  int past = first_step + steps_of_part < end ? first_step + steps_of_part : end;
  if (2 * (past - 1) == blocks && a >= blocks / 2) --past;
  const int64_t first_row = a * int64_t{Tile::rows};

  auto column_of = [&](int tile) {
    const int b = (a + first_step + tile / tiles_of_step) % blocks;
    return b * int64_t{Tile::rows} + tile % tiles_of_step * Tile::columns;
  };
  auto load_columns = [&](int tile) {
    load_units<Tile>(w, column_tiles + tile % Tile::stages * Tile::columns * Tile::pitch, column_of(tile),
                     Tile::columns);
  };
  const int tiles = (past - first_step) * tiles_of_step;
  load_units<Tile>(w, row_tile, first_row, Tile::rows);
  if (Tile::stages > 1 && tiles > 0) load_columns(0);
  commit_copies();

  float sums[Tile::row_fragments][2] = {};
  for (int tile = 0; tile < tiles; ++tile) {
    if (Tile::stages == 1) load_columns(tile);
    if (Tile::stages > 1 && tile + 1 < tiles) load_columns(tile + 1);
    commit_copies();
    wait_copies<Tile::stages - 1>();
    __syncthreads();
    typename Tile::Sums s = {};
    multiply_tiles<Tile>(s, row_tile, column_tiles + tile % Tile::stages * Tile::columns * Tile::pitch);

    const int step = first_step + tile / tiles_of_step;
    const int64_t first_column = column_of(tile);
    ColumnSums<Tile> down;
    if (step > 0 && first_row + Tile::rows <= w.rows && first_column + Tile::columns <= w.rows) {
      each_exponential<Tile>(w, s, [&](int m, int half, int n, int e, float x) {
        sums[m][half] += x;
        down.add(n, e, x);
      });
    } else {
      each_exponential<Tile>(w, s, [&](int m, int half, int n, int e, float x) {
        const int64_t i = first_row + Tile::row_at() + 16 * m + 8 * half + g;
        const int64_t j = first_column + Tile::column_at() + 8 * n + 2 * t + e;
        if (i == j || i >= w.rows || j >= w.rows) return;
        sums[m][half] += x;
        down.add(n, e, x);
      });
    }
    if (step > 0) down.share(of_warp);
    __syncthreads();  // the stage is free again, and the warps' sums are whole
    for (int c = threadIdx.x; step > 0 && c < Tile::columns; c += Tile::threads) {
      float sum = 0;
#pragma unroll
      for (int i = 0; i < Tile::down; ++i) sum += of_warp[i][c];
      if (first_column + c < w.rows) w.crossed[(step - begin) * w.padded_rows + first_column + c] = sum;
    }
  }
  wait_copies<0>();

#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = sums[m][half];
      sum += __shfl_xor_sync(full_warp, sum, 1);
      sum += __shfl_xor_sync(full_warp, sum, 2);
      if (t == 0) of_row[Tile::across_at()][Tile::row_at() + 16 * m + 8 * half + g] = sum;
    }
  __syncthreads();
  for (int r = threadIdx.x; r < Tile::rows && first_row + r < w.rows; r += Tile::threads) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < Tile::across; ++i) sum += of_row[i][r];
    w.partial[blockIdx.y * w.padded_rows + first_row + r] = sum;
  }
}

// Adds what one walk over steps [begin, end) found to the sums of the rows, a thread a row, in a fixed order.
template <class T>
__global__ void __launch_bounds__(threads)
    collect_sums_kernel(Work<T> w, float* row_sum, int parts, int begin, int end, int blocks, int rows_of_block) {
  const int64_t i = blockIdx.x * int64_t{threads} + threadIdx.x;
  if (i >= w.rows) return;
  float sum = begin == 0 ? 0.0f : row_sum[i];
  for (int p = 0; p < parts; ++p) sum += w.partial[p * w.padded_rows + i];
  const bool met_twice = 2 * (end - 1) == blocks && i < blocks / 2 * int64_t{rows_of_block};
  const int past = met_twice ? end - 1 : end;
#pragma unroll 4
  for (int step = begin > 0 ? begin : 1; step < past; ++step) sum += w.crossed[(step - begin) * w.padded_rows + i];
  row_sum[i] = sum;
}

// Stores the warp's gradient of unit rows, from column `first` on, as part blockIdx.y.
template <class Tile, class T>
__device__ __forceinline__ void store_gradient(
    const Work<T>& w, const float (&gradient)[Tile::row_fragments][2 * Tile::gradient_pairs][4], int64_t first_row,
    int first) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  float* to = w.gradient + blockIdx.y * w.padded_rows * w.pitch;
#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
    for (int n = 0; n < 2 * Tile::gradient_pairs; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t i = first_row + Tile::row_at() + 16 * m + 8 * half + g, d = first + 8 * n + 2 * t;
        if (i < w.rows && d < w.pitch)
          store_pack(to + i * w.pitch + d, Pack<float, 2>{gradient[m][n][2 * half], gradient[m][n][2 * half + 1]});
      }
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
#pragma unroll
    for (int k = 0; k < Tile::columns; k += F::depth) {
      typename F::A a[Tile::row_fragments];
#pragma unroll
      for (int m = 0; m < Tile::row_fragments; ++m)
        a[m] = F::load_a(weights + (Tile::row_at() + 16 * m) * Tile::weight_pitch + k, Tile::weight_pitch);
#pragma unroll
      for (int n = 0; n < Tile::gradient_pairs; ++n) {
        typename F::B b[2];
        F::load_b_rows(b, columns + k * Tile::pitch + gradient_at + 16 * n, Tile::pitch);
#pragma unroll
        for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
          for (int i = 0; i < 2; ++i) F::multiply(gradient[m][2 * n + i], a[m], b[i]);
      }
    }
    __syncthreads();  // the stage and the weights are free again
  }
  wait_copies<0>();

  store_gradient<Tile>(w, gradient, first_row, gradient_at);
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
  store_gradient<Band>(w, gradient, first_row, 0);
}

// A warp a row: its term of the loss, in place of the first part's sum.
template <class T>
__global__ void __launch_bounds__(threads) row_loss_kernel(Work<T> w, const T* z, const float* inv_norm,
                                                           const float* row_sum, float inv_temperature, float offset) {
  const int lane = threadIdx.x % 32;
  const int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32;
  if (i >= w.rows) return;
  const int64_t positive = (i + w.rows / 2) % w.rows;
  float dot = 0;
  for (int64_t d = lane; d < w.dim; d += 32)
    dot += (static_cast<float>(z[i * w.dim + d]) * inv_norm[i]) *
           (static_cast<float>(z[positive * w.dim + d]) * inv_norm[positive]);
  dot = warp_sum(dot);
  if (lane == 0) w.partial[i] = logf(row_sum[i]) + offset - dot * inv_temperature;
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
    finish_rows_kernel(Work<T> w, const T* z, const float* inv_norm, const float* dy, T* dz, int parts,
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
    for (int s = 0; s < parts; ++s) du[n] += w.gradient[(s * w.padded_rows + i) * w.pitch + d];
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

// The sums of all rows. The scratch for sums down the columns sets how many steps a launch walks; a step is a block's
// work for every block, so that one for each multiprocessor is plenty too.
template <class Tile, class T>
void sum_rows(Tile, const Work<T>& w, float* row_sum, Stream stream) {
  constexpr int64_t wanted = 512;  // blocks, for some four on each multiprocessor
  const auto blocks = static_cast<int>(divide_up(w.rows, Tile::rows));
  const int steps = blocks / 2 + 1;
  const int most = std::min(static_cast<int>(w.gradient_parts * w.pitch), multiprocessors());
  for (int begin = 0; begin < steps; begin += most) {
    const int end = std::min(steps, begin + most);
    const int64_t cut = std::min({divide_up(wanted, blocks), int64_t{end - begin}, nt_xent_row_parts});
    const auto steps_of_part = static_cast<int>(divide_up(end - begin, cut));
    const auto parts = static_cast<int>(divide_up(end - begin, steps_of_part));
    launch_kernel(row_sums_kernel<Tile>, dim3(blocks, parts), Tile::threads, Tile::bytes(false), stream, w, begin, end,
                  steps_of_part);
    launch_kernel(collect_sums_kernel<T>, divide_up(w.rows, threads), threads, 0, stream, w, row_sum, parts, begin, end,
                  blocks, Tile::rows);
  }
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

}  // namespace

void run(const NtXent& k, Stream stream) {
  dispatch_cuda(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    const Work<T> w(k, Scratch(stream.scratch));
    const T* z = k.z.as<T>();
    float *inv_norm = k.inv_norm.as<float>(), *row_sum = k.row_sum.as<float>();
    launch_kernel(unit_rows_kernel<T>, divide_up(w.padded_rows, warps), threads, 0, stream, w, z, inv_norm, nullptr);
    with_tile(w, false, [&](auto tile) { sum_rows(tile, w, row_sum, stream); });
    launch_kernel(row_loss_kernel<T>, divide_up(w.rows, warps), threads, 0, stream, w, z, inv_norm, row_sum,
                  static_cast<float>(1 / k.temperature), static_cast<float>(nt_xent_offset(k.temperature)));
    launch_kernel(mean_kernel, 1, threads, 0, stream, w.partial, k.loss.as<float>(), w.rows);
  });
}

void run(const NtXentBackward& k, Stream stream) {
  dispatch_cuda(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    const Work<T> w(k, Scratch(stream.scratch));
    const T* z = k.z.as<T>();
    float* inv_norm = const_cast<float*>(k.inv_norm.as<float>());  // read: it is given
    launch_kernel(unit_rows_kernel<T>, divide_up(w.padded_rows, warps), threads, 0, stream, w, z, inv_norm,
                  k.row_sum.as<float>());
    const int parts = gather_gradients(w, stream);
    launch_kernel(finish_rows_kernel<T>, divide_up(w.rows, warps), threads, 0, stream, w, z, inv_norm, k.dy.as<float>(),
                  k.dz.as<T>(), parts, 1 / k.temperature);
  });
}

}  // namespace gestalt::kernels::cuda
