// NT-Xent on CUDA: tiles of similarities on the tensor cores; each block owns rows, so that no sum needs an atomic.
#include "kernels/nt_xent.h"

#include "kernels/cuda/nt_xent_gradient.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;  // of the kernels that walk over rows, a warp a row

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
