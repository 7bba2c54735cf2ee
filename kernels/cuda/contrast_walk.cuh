// The walks of contrast over tiles of similarities: sums of rows, and the gathering of their gradients.
#pragma once

#include "kernels/cuda/nt_xent_tiles.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {

// One walk: rows against columns.
template <class T>
struct Walk {
  const T *rows, *columns;                  // unit rows, `pitch` apart, zeros beyond (count, dim)
  const int32_t* labels;                    // of both, or null
  const float *row_slopes, *column_slopes;  // of gathering: (3, room)
  float *sums, *gradient;                   // what is written: (part, 4, room) and (part, row_room, pitch)
  int64_t row_count, column_count, row_room, column_room, slope_room, pitch;
  int64_t half;   // a row is not compared with the column so far on, modulo rows, if this is not 0
  bool diagonal;  // nor with that of its own number
  bool hard;
  float first, second, offset;  // e^(first·s − offset) as powers of 2
};

// What a tile leaves out: columns beyond the last one, and pairs whose column less their row, both within the tile, is
// one of `apart`.
struct LeftOut {
  static constexpr int nowhere = 1 << 20;
  static constexpr float similarity = -1e30f;  // its exponential is 0
  int columns, apart[3];
  bool any;

  template <class Tile, class T>
  __device__ static LeftOut of(const Walk<T>& w, int64_t first_row, int64_t first_column) {
    const auto at = [&](bool is, int64_t shift) {
      const int64_t d = first_row + shift - first_column;
      return is && d > -Tile::rows && d < Tile::columns ? static_cast<int>(d) : nowhere;
    };
    const int64_t left = w.column_count - first_column;
    LeftOut o;
    o.columns = left < Tile::columns ? static_cast<int>(left) : Tile::columns;
    o.apart[0] = at(w.diagonal, 0), o.apart[1] = at(w.half != 0, w.half), o.apart[2] = at(w.half != 0, -w.half);
    o.any = left < Tile::columns || o.apart[0] != nowhere || o.apart[1] != nowhere || o.apart[2] != nowhere;
    return o;
  }
  __device__ bool operator()(int row, int column) const {
    const int d = column - row;
    return column >= columns || d == apart[0] || d == apart[1] || d == apart[2];
  }
  // Marks them among the warp's sums.
  template <class Tile>
  __device__ __forceinline__ void mark(typename Tile::Sums& s) const {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
      for (int n = 0; n < 2 * Tile::column_pairs; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if ((*this)(Tile::row_at() + 16 * m + 8 * (e / 2) + g, Tile::column_at() + 8 * n + 2 * t + e % 2))
            s[m][n][e] = similarity;
  }
};

// Walks tiles of columns with their loads in flight: calls f(first column, columns in shared memory) for each.
template <class Tile, class T, class F>
__device__ __forceinline__ void walk_tiles(const Walk<T>& w, T* row_tile, T* column_tiles, int64_t first_row, int begin,
                                           int end, F&& f) {
  const auto load_columns = [&](int tile) {
    const int64_t first = tile * int64_t{Tile::columns};
    begin_tile<T, Tile::dim, Tile::threads>(column_tiles + tile % Tile::stages * Tile::columns * Tile::pitch,
                                            Tile::pitch, w.columns + first * w.pitch, w.pitch, Tile::columns,
                                            w.column_room - first, w.pitch);
  };
  begin_tile<T, Tile::dim, Tile::threads>(row_tile, Tile::pitch, w.rows + first_row * w.pitch, w.pitch, Tile::rows,
                                          w.row_room - first_row, w.pitch);
  if (Tile::stages > 1 && begin < end) load_columns(begin);
  commit_copies();
  for (int tile = begin; tile < end; ++tile) {
    if (Tile::stages == 1) load_columns(tile);
    if (Tile::stages > 1 && tile + 1 < end) load_columns(tile + 1);
    commit_copies();
    wait_copies<Tile::stages - 1>();
    __syncthreads();
    f(tile * int64_t{Tile::columns}, column_tiles + tile % Tile::stages * Tile::columns * Tile::pitch);
    __syncthreads();  // the stage is free again
  }
  wait_copies<0>();
}

// The tiles of part blockIdx.y.
struct Part {
  int begin, end;
  __device__ Part(int64_t columns, int of_tile, int tiles_of_part) {
    const int tiles = static_cast<int>((columns + of_tile - 1) / of_tile);
    begin = static_cast<int>(blockIdx.y) * tiles_of_part;
    end = begin + tiles_of_part < tiles ? begin + tiles_of_part : tiles;
  }
};

// What a thread saw of one of its rows.
struct Seen {
  float first = 0, second = 0, most = -2, count = 0;
};

// Writes what the block's threads saw of its rows in part blockIdx.y of the columns, by way of `of_row` in shared
// memory.
template <class Tile, class T>
__device__ __forceinline__ void write_seen(const Walk<T>& w, const Seen (&seen)[Tile::row_fragments][2],
                                           float (*of_row)[Tile::across][Tile::rows]) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int64_t first_row = blockIdx.x * int64_t{Tile::rows};
#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      Seen row = seen[m][half];
#pragma unroll
      for (int bit = 1; bit <= 2; bit *= 2) {
        row.first += __shfl_xor_sync(full_warp, row.first, bit);
        row.second += __shfl_xor_sync(full_warp, row.second, bit);
        row.count += __shfl_xor_sync(full_warp, row.count, bit);
        const float other = __shfl_xor_sync(full_warp, row.most, bit);
        row.most = other > row.most ? other : row.most;
      }
      if (t != 0) continue;
      const int r = Tile::row_at() + 16 * m + 8 * half + g, at = Tile::across_at();
      of_row[0][at][r] = row.first, of_row[1][at][r] = row.second;
      of_row[2][at][r] = row.most, of_row[3][at][r] = row.count;
    }
  __syncthreads();
  for (int r = threadIdx.x; r < Tile::rows && first_row + r < w.row_count; r += Tile::threads)
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      float value = of_row[n][0][r];
#pragma unroll
      for (int a = 1; a < Tile::across; ++a) {
        const float other = of_row[n][a][r];
        value = n != 2 ? value + other : other > value ? other : value;
      }
      w.sums[(blockIdx.y * int64_t{4} + n) * w.row_room + first_row + r] = value;
    }
}

// Sees each row's columns of part blockIdx.y.
template <class Tile, bool plain, class T = typename Tile::Element>
__global__ void __launch_bounds__(Tile::threads, 1) sums_kernel(Walk<T> w, int tiles_of_part) {
  GESTALT_DYNAMIC_SHARED(T, row_tile);
  GESTALT_SHARED(float, of_row, [4][Tile::across][Tile::rows]);
  T* column_tiles = row_tile + Tile::rows * Tile::pitch;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int64_t first_row = blockIdx.x * int64_t{Tile::rows};
  const Part part(w.column_count, Tile::columns, tiles_of_part);
  Seen seen[Tile::row_fragments][2];

  walk_tiles<Tile>(w, row_tile, column_tiles, first_row, part.begin, part.end, [&](int64_t first_column, const T* in) {
    typename Tile::Sums s = {};
    multiply_tiles<Tile>(s, row_tile, in);
    const LeftOut left_out = LeftOut::of<Tile>(w, first_row, first_column);
    if (left_out.any) left_out.mark<Tile>(s);
#pragma unroll
    for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
      for (int n = 0; n < 2 * Tile::column_pairs; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float x = s[m][n][e];
          Seen& row = seen[m][e / 2];
          row.first += exp2_fast(x * w.first - w.offset);
          if (!plain && w.labels) {
            const int64_t i = first_row + Tile::row_at() + 16 * m + 8 * (e / 2) + g;
            const int64_t j = first_column + Tile::column_at() + 8 * n + 2 * t + e % 2;
            if (x == LeftOut::similarity) continue;
            const bool alike = i < w.row_count && w.labels[i] == w.labels[j];
            row.second += alike ? x : 0.0f;
            row.count += alike ? 1.0f : 0.0f;
            row.most = !alike && x > row.most ? x : row.most;
          } else {
            if (!plain) row.second += x == LeftOut::similarity ? 0.0f : exp2_fast(x * w.second);
            row.most = fmaxf(row.most, x);
          }
        }
  });

  write_seen<Tile>(w, seen, of_row);
}

// What rows are pulled with by their columns: by slopes of a plain contrast or of any, or each column with its
// exponential alone, which are then seen as well.
enum class Pull { plain, any, exponentials };

// Walks part blockIdx.y of the columns: the gradient of the unit rows.
template <class Tile, Pull pull, class T = typename Tile::Element>
__global__ void __launch_bounds__(Tile::threads, 1) gather_kernel(Walk<T> w, int tiles_of_part) {
  constexpr bool plain = pull != Pull::any, sees = pull == Pull::exponentials;
  using F = Fragments<T>;
  GESTALT_DYNAMIC_SHARED(T, row_tile);
  T* column_tiles = row_tile + Tile::rows * Tile::pitch;
  T* weights = column_tiles + Tile::stages * Tile::columns * Tile::pitch;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, gradient_at = Tile::across_at() * 16 * Tile::gradient_pairs;
  const int64_t first_row = blockIdx.x * int64_t{Tile::rows};
  const Part part(w.column_count, Tile::columns, tiles_of_part);
  Seen seen[Tile::row_fragments][2];
  float of_row[plain ? 1 : 3][Tile::row_fragments][2];
#pragma unroll
  for (int m = 0; !sees && m < Tile::row_fragments; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t i = first_row + Tile::row_at() + 16 * m + 8 * half + g;
#pragma unroll
      for (int n = 0; n < (plain ? 1 : 3); ++n)
        of_row[n][m][half] = i < w.row_count ? w.row_slopes[n * w.row_room + i] : 0.0f;
    }

  float sums[Tile::row_fragments][2 * Tile::gradient_pairs][4] = {};
  walk_tiles<Tile>(w, row_tile, column_tiles, first_row, part.begin, part.end, [&](int64_t first_column, const T* in) {
    typename Tile::Sums s = {};
    multiply_tiles<Tile>(s, row_tile, in);
    const LeftOut left_out = LeftOut::of<Tile>(w, first_row, first_column);
    if (left_out.any) left_out.mark<Tile>(s);
#pragma unroll
    for (int n = 0; n < 2 * Tile::column_pairs; ++n) {
      const int column = Tile::column_at() + 8 * n + 2 * t;
      Pack<float, 2> first = {}, second = {}, label = {};
      if (!sees) {
        const float* of_column = w.column_slopes + first_column + column;
        first = load_pack<Pack<float, 2>>(of_column);
        second = load_pack<Pack<float, 2>>(of_column + (plain ? 0 : w.slope_room));
        label = load_pack<Pack<float, 2>>(of_column + (plain ? 0 : 2 * w.slope_room));
      }
#pragma unroll
      for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = Tile::row_at() + 16 * m + 8 * half + g;
          float v[2];
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const float x = s[m][n][2 * half + e];
            v[e] = exp2_fast(x * w.first - w.offset) * (sees ? 1.0f : of_row[0][m][half] + first.v[e]);
            if (!plain && x != LeftOut::similarity) {
              const int64_t i = first_row + row, j = first_column + column + e;
              if (w.hard) v[e] -= exp2_fast(x * w.second) * (of_row[1][m][half] + second.v[e]);
              if (w.labels && i < w.row_count && w.labels[i] == w.labels[j]) v[e] -= of_row[2][m][half] + label.v[e];
            }
            if (sees) seen[m][half].first += v[e], seen[m][half].most = fmaxf(seen[m][half].most, x);
          }
          F::store_pair(weights + row * Tile::weight_pitch + column, v[0], v[1]);
        }
    }
    __syncthreads();
    multiply_weights<Tile>(sums, weights, in, gradient_at);
  });

  if constexpr (sees) {
    static_assert(sizeof(T) * Tile::pitch >= sizeof(float) * 4 * Tile::across, "no room in the rows' tile");
    write_seen<Tile>(w, seen, reinterpret_cast<float(*)[Tile::across][Tile::rows]>(row_tile));
  }
  store_gradient<Tile>(w.gradient + blockIdx.y * w.row_room * w.pitch, w.pitch, w.row_count, sums, first_row,
                       gradient_at);
}

}  // namespace gestalt::kernels::cuda
