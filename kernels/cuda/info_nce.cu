// Contrast on CUDA: tiles of similarities on the tensor cores; each block owns rows and walks a part of their columns.
#include "kernels/info_nce.h"

#include <cmath>

#include "kernels/cuda/nt_xent_tiles.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;  // of the kernels that walk over rows, a warp a row
constexpr int most_dim = 512;
constexpr double log2_e = 1.4426950408889634;

// One walk: rows against columns.
template <class T>
struct Walk {
  const T *rows, *columns;                  // unit rows, `pitch` apart, zeros beyond (count, dim)
  const int32_t* labels;                    // of both, or null
  const float *row_slopes, *column_slopes;  // backward: (3, room)
  int64_t row_count, column_count, row_room, column_room, slope_room, pitch;
  int64_t half;   // a row is not compared with the column so far on, modulo rows, if this is not 0
  bool diagonal;  // nor with that of its own number
  bool hard;
  float first, second, offset;  // e^(first·s − offset) as powers of 2

  __device__ bool left_out(int64_t i, int64_t j) const {
    return (diagonal && i == j) || (half != 0 && j == (i + half) % row_count);
  }
  // Whether a tile holds anything left out, or lies partly outside.
  __device__ bool special(int64_t row, int rows_of_tile, int64_t column, int columns_of_tile) const {
    const auto meets = [&](int64_t shift) {
      return column < row + shift + rows_of_tile && row + shift < column + columns_of_tile;
    };
    return column + columns_of_tile > column_count || (diagonal && meets(0)) ||
           (half != 0 && (meets(half) || meets(-half)));
  }
};

// What a launch works in.
template <class T>
struct Work {
  ContrastScratch<T, float> memory;
  const ContrastForm& form;
  int64_t rows, dim;

  template <class K>
  Work(const K& k, Scratch scratch, bool backward)
      : memory(scratch, Device::cuda, k.form, k.rows, k.extra_count, k.dim, backward),
        form(k.form),
        rows(k.rows),
        dim(k.dim) {}

  Walk<T> walk(const int32_t* labels) const {
    Walk<T> w = {};
    w.rows = memory.rows, w.columns = memory.column_rows, w.labels = labels;
    w.row_count = rows, w.column_count = memory.columns;
    w.row_room = memory.padded_rows, w.column_room = memory.padded_columns, w.pitch = memory.padded_dim;
    w.diagonal = form.self || form.batch_negatives;
    w.half = form.self && !labels ? rows / 2 : 0;
    w.hard = form.hard;
    w.first = static_cast<float>(log2_e * form.first()), w.second = static_cast<float>(log2_e * form.second());
    w.offset = static_cast<float>(log2_e * form.offset());
    return w;
  }
};

// A warp a row of [0, room): its inverse norm, found or given (`found` may be null), and its unit row.
template <class T, class From>
__global__ void __launch_bounds__(threads) unit_rows_kernel(const From* z, T* units, float* found, const float* given,
                                                            int64_t count, int64_t room, int64_t dim, int64_t pitch) {
  const int lane = threadIdx.x % 32;
  const int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32;
  if (i >= room) return;
  float inverse = 0;
  if (i < count && given) {
    inverse = given[i];
  } else if (i < count) {
    double squares = 0;
    for (int64_t d = lane; d < dim; d += 32) {
      const double x = static_cast<float>(z[i * dim + d]);
      squares += x * x;
    }
    squares = warp_sum(squares);
    inverse = squares > 1e-24 ? static_cast<float>(1 / sqrt(squares)) : 0.0f;
    if (found && lane == 0) found[i] = inverse;
  }
  if (!units) return;
  for (int64_t d = lane; d < pitch; d += 32)
    units[i * pitch + d] =
        i < count && d < dim ? static_cast<T>(static_cast<float>(z[i * dim + d]) * inverse) : static_cast<T>(0.0f);
}

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

// sums (part, 4, room): of each row what it saw in part blockIdx.y of the columns.
template <class Tile, bool plain, class T = typename Tile::Element>
__global__ void __launch_bounds__(Tile::threads, 1) sums_kernel(Walk<T> w, float* sums, int tiles_of_part) {
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
    const bool special = w.special(first_row, Tile::rows, first_column, Tile::columns);
#pragma unroll
    for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
      for (int n = 0; n < 2 * Tile::column_pairs; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int64_t i = first_row + Tile::row_at() + 16 * m + 8 * (e / 2) + g;
          const int64_t j = first_column + Tile::column_at() + 8 * n + 2 * t + e % 2;
          const float x = s[m][n][e];
          Seen& row = seen[m][e / 2];
          if (special && (j >= w.column_count || w.left_out(i, j))) continue;
          row.first += exp2_fast(x * w.first - w.offset);
          if (!plain && w.labels) {
            const bool alike = i < w.row_count && w.labels[i] == w.labels[j];
            row.second += alike ? x : 0.0f;
            row.count += alike ? 1.0f : 0.0f;
            row.most = !alike && x > row.most ? x : row.most;
          } else {
            if (!plain) row.second += exp2_fast(x * w.second);
            row.most = x > row.most ? x : row.most;
          }
        }
  });

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
      sums[(blockIdx.y * int64_t{4} + n) * w.row_room + first_row + r] = value;
    }
}

// A warp a row: its similarity to its positive.
template <class T>
__global__ void __launch_bounds__(threads)
    positives_kernel(const T* q, const T* others, const float* inv_q, const float* inv_others, float* similarity,
                     ContrastForm form, int64_t rows, int64_t dim) {
  const int lane = threadIdx.x % 32;
  const int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32;
  if (i >= rows) return;
  const int64_t other = form.positive(i, rows);
  float dot = 0;
  for (int64_t d = lane; d < dim; d += 32)
    dot += (static_cast<float>(q[i * dim + d]) * inv_q[i]) *
           (static_cast<float>(others[other * dim + d]) * inv_others[other]);
  dot = warp_sum(dot);
  if (lane == 0) similarity[i] = dot;
}

// w_i = 2 − B·softmax_i(s_ip/σ) over the images, by one block; 1 without σ.
__global__ void __launch_bounds__(threads)
    weights_kernel(const float* similarity, float* weight, int64_t rows, int64_t images, float sigma) {
  double sum = 0;
  if (sigma > 0)
    for (int64_t i = threadIdx.x; i < images; i += threads) sum += expf((similarity[i] - 1) / sigma);
  sum = block_sum(sum);
  for (int64_t i = threadIdx.x; i < rows; i += threads)
    weight[i] =
        sigma > 0
            ? static_cast<float>(2 - static_cast<double>(images) * expf((similarity[i % images] - 1) / sigma) / sum)
            : 1.0f;
}

// What a row's sums and its positive come to. positives (4, room): similarity, weight, and then loss and right.
struct RowResults {
  const float* sums;
  float *positives, *slopes;
  int64_t rows, room, parts;
  double negatives, offset;
  bool labelled;
};
__global__ void __launch_bounds__(threads) rows_kernel(RowResults r, ContrastForm form) {
  const int64_t i = blockIdx.x * int64_t{threads} + threadIdx.x;
  if (i >= r.rows) return;
  ContrastSums sums;
  for (int64_t p = 0; p < r.parts; ++p) {
    const float* s = r.sums + 4 * p * r.room + i;
    sums.add({s[0], s[r.room], s[2 * r.room], s[3 * r.room]});
  }
  const double positive = r.positives[i], weight = r.positives[r.room + i];
  const ContrastRow row = contrast_row(form, sums, positive, weight, r.negatives, r.labelled, r.offset);
  const double share = 1 / static_cast<double>(r.rows);
  r.slopes[i] = static_cast<float>(share * row.first);
  r.slopes[r.rows + i] = static_cast<float>(share * row.second);
  r.slopes[2 * r.rows + i] = static_cast<float>(share * row.label);
  r.slopes[3 * r.rows + i] = static_cast<float>(share * row.positive);
  r.positives[2 * r.room + i] = static_cast<float>(row.loss);
  r.positives[3 * r.room + i] = positive > sums.most ? 1.0f : 0.0f;
}

__global__ void __launch_bounds__(threads) mean_kernel(const float* terms, float* to, int64_t rows) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < rows; i += threads) sum += terms[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) to[0] = static_cast<float>(sum / static_cast<double>(rows));
}

// The first three slopes of `count` rows, or zeros, as (3, room).
__global__ void __launch_bounds__(threads) slopes_kernel(const float* slopes, float* to, int64_t count, int64_t room) {
  grid_stride(3 * room, [&](int64_t n) {
    const int64_t i = n % room;
    to[n] = slopes && i < count ? slopes[n / room * count + i] : 0.0f;
  });
}

// Walks part blockIdx.y of the columns: gradient (part, row_room, pitch) of the unit rows.
template <class Tile, bool plain, class T = typename Tile::Element>
__global__ void __launch_bounds__(Tile::threads, 1) gather_kernel(Walk<T> w, float* gradient, int tiles_of_part) {
  using F = Fragments<T>;
  GESTALT_DYNAMIC_SHARED(T, row_tile);
  T* column_tiles = row_tile + Tile::rows * Tile::pitch;
  T* weights = column_tiles + Tile::stages * Tile::columns * Tile::pitch;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, gradient_at = Tile::across_at() * 16 * Tile::gradient_pairs;
  const int64_t first_row = blockIdx.x * int64_t{Tile::rows};
  const Part part(w.column_count, Tile::columns, tiles_of_part);
  float of_row[plain ? 1 : 3][Tile::row_fragments][2];
#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
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
    const bool special = w.special(first_row, Tile::rows, first_column, Tile::columns);
#pragma unroll
    for (int n = 0; n < 2 * Tile::column_pairs; ++n) {
      const int column = Tile::column_at() + 8 * n + 2 * t;
      const float* of_column = w.column_slopes + first_column + column;
      const auto first = load_pack<Pack<float, 2>>(of_column);
      const auto second = load_pack<Pack<float, 2>>(of_column + (plain ? 0 : w.slope_room));
      const auto label = load_pack<Pack<float, 2>>(of_column + (plain ? 0 : 2 * w.slope_room));
#pragma unroll
      for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = Tile::row_at() + 16 * m + 8 * half + g;
          const int64_t i = first_row + row;
          float v[2];
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const int64_t j = first_column + column + e;
            const float x = s[m][n][2 * half + e];
            v[e] = exp2_fast(x * w.first - w.offset) * (of_row[0][m][half] + first.v[e]);
            if (!plain && w.hard) v[e] -= exp2_fast(x * w.second) * (of_row[1][m][half] + second.v[e]);
            if (!plain && w.labels && i < w.row_count && j < w.column_count && w.labels[i] == w.labels[j])
              v[e] -= of_row[2][m][half] + label.v[e];
            if (special && (j >= w.column_count || w.left_out(i, j))) v[e] = 0;
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
        F::load_b_rows(b, in + k * Tile::pitch + gradient_at + 16 * n, Tile::pitch);
#pragma unroll
        for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
          for (int i = 0; i < 2; ++i) F::multiply(sums[m][2 * n + i], a[m], b[i]);
      }
    }
  });

  float* to = gradient + blockIdx.y * w.row_room * w.pitch;
#pragma unroll
  for (int m = 0; m < Tile::row_fragments; ++m)
#pragma unroll
    for (int n = 0; n < 2 * Tile::gradient_pairs; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t i = first_row + Tile::row_at() + 16 * m + 8 * half + g, d = gradient_at + 8 * n + 2 * t;
        if (i < w.row_count && d < w.pitch)
          store_pack(to + i * w.pitch + d, Pack<float, 2>{sums[m][n][2 * half], sums[m][n][2 * half + 1]});
      }
}

// What the gradient of rows of z is finished from; `others` are the rows that positives are among.
template <class T>
struct Finish {
  const T *z, *others;
  const float *inv_norm, *inv_others, *positive, *dloss, *gradient;
  T* dz;
  int64_t rows, room, dim, pitch;
  int parts;
};
// A warp a row: the parts and the positive's pull together, then through u = z/‖z‖, which drops the part along u.
template <class T>
__global__ void __launch_bounds__(threads) finish_kernel(Finish<T> f, ContrastForm form) {
  const int lane = threadIdx.x % 32;
  const int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32;
  if (i >= f.rows) return;
  const int64_t other = form.positive(i, f.rows);
  const float slope = (f.positive[i] + (form.self ? f.positive[other] : 0.0f)) * f.inv_others[other];
  const float inverse = f.inv_norm[i], length = f.dloss[0] * inverse;
  float du[most_dim / 32], along = 0;
#pragma unroll
  for (int n = 0; n < most_dim / 32; ++n) {
    const int64_t d = lane + 32 * n;
    du[n] = 0;
    if (d >= f.dim) continue;
    for (int p = 0; p < f.parts; ++p) du[n] += f.gradient[(p * f.room + i) * f.pitch + d];
    du[n] += slope * static_cast<float>(f.others[other * f.dim + d]);
    along += du[n] * (static_cast<float>(f.z[i * f.dim + d]) * inverse);
  }
  along = warp_sum(along);
#pragma unroll
  for (int n = 0; n < most_dim / 32; ++n) {
    const int64_t d = lane + 32 * n;
    if (d < f.dim)
      f.dz[i * f.dim + d] =
          static_cast<T>(length * (du[n] - along * (static_cast<float>(f.z[i * f.dim + d]) * inverse)));
  }
}

// Calls f(Tile) with the tile for rows of this width.
template <class T, class F>
auto with_tile(int64_t dim, bool backward, F&& f) {
  check(dim <= most_dim, "[info_nce] got rows of {}, expected at most {} on cuda; use --device cpu", dim, most_dim);
  if (dim <= 128) return with_tile(typename TilesFor<T, 128>::Type(), backward, f);
  if (dim <= 256) return with_tile(typename TilesFor<T, 256>::Type(), backward, f);
  return with_tile(typename TilesFor<T, 512>::Type(), backward, f);
}

// Starts a kernel of walks over at most `most` parts of the columns; returns over how many.
template <class Tile, class T>
int launch_walk(void (*kernel)(Walk<T>, float*, int), Tile, const Walk<T>& w, float* to, int64_t most, bool backward,
                Stream stream) {
  const int64_t tiles = divide_up(w.column_count, Tile::columns), tiles_of_part = divide_up(tiles, most);
  const int64_t parts = divide_up(tiles, tiles_of_part);
  launch_kernel(kernel, dim3(divide_up(w.row_count, Tile::rows), parts), Tile::threads, Tile::bytes(backward), stream,
                w, to, static_cast<int>(tiles_of_part));
  return static_cast<int>(parts);
}

template <class T, class From>
void launch_units(const From* z, T* units, float* found, const float* given, int64_t count, int64_t room, int64_t dim,
                  int64_t pitch, Stream stream) {
  launch_kernel(unit_rows_kernel<T, From>, divide_up(room, warps), threads, 0, stream, z, units, found, given, count,
                room, dim, pitch);
}

// Unit rows of both sides; forward finds the norms.
template <class T, class K>
void make_units(const Work<T>& w, const K& k, float* inv_q, float* inv_k, bool given, Stream stream) {
  const ContrastScratch<T, float>& m = w.memory;
  const auto found = [&](float* inv) { return given ? nullptr : inv; };
  const auto known = [&](const float* inv) { return given ? inv : nullptr; };
  launch_units(k.q.template as<T>(), m.rows, found(inv_q), known(inv_q), k.rows, m.padded_rows, k.dim, m.padded_dim,
               stream);
  if (k.form.self) return;
  launch_units(k.k.template as<T>(), m.keys ? m.column_rows : nullptr, found(inv_k), known(inv_k), k.rows,
               m.keys ? m.padded_columns : k.rows, k.dim, m.padded_dim, stream);
  if (k.extra_count)
    launch_units(k.extra.template as<float>(), m.column_rows + m.keys * m.padded_dim, static_cast<float*>(nullptr),
                 static_cast<const float*>(nullptr), k.extra_count, m.padded_columns - m.keys, k.dim, m.padded_dim,
                 stream);
}

void launch_slopes(const float* slopes, float* to, int64_t count, int64_t room, Stream stream) {
  launch_kernel(slopes_kernel, blocks_for(3 * room, threads), threads, 0, stream, slopes, to, count, room);
}

}  // namespace

void run(const InfoNce& k, Stream stream) {
  dispatch_cuda(k.q.dtype, [&](auto tag) {
    using T = decltype(tag);
    const Work<T> w(k, Scratch(stream.scratch), false);
    const ContrastScratch<T, float>& m = w.memory;
    const T *q = k.q.as<T>(), *others = k.form.self ? q : k.k.as<T>();
    float *inv_q = k.inv_norm_q.as<float>(), *inv_k = k.form.self ? inv_q : k.inv_norm_k.as<float>();
    make_units(w, k, inv_q, inv_k, false, stream);
    const Walk<T> walk = w.walk(k.labels.as<int32_t>());
    const bool plain = !k.form.hard && !k.labels;
    const int parts = with_tile<T>(w.dim, false, [&](auto tile) {
      using Tile = decltype(tile);
      return launch_walk(plain ? sums_kernel<Tile, true> : sums_kernel<Tile, false>, tile, walk, m.sums, m.parts, false,
                         stream);
    });
    launch_kernel(positives_kernel<T>, divide_up(k.rows, warps), threads, 0, stream, q, others, inv_q, inv_k,
                  m.positives, k.form, k.rows, k.dim);
    launch_kernel(weights_kernel, 1, threads, 0, stream, m.positives, m.positives + m.padded_rows, k.rows,
                  k.form.self ? k.rows / 2 : k.rows, k.form.weight_temperature);
    const RowResults results{m.sums,
                             m.positives,
                             k.slopes.as<float>(),
                             k.rows,
                             m.padded_rows,
                             parts,
                             real(m.columns) - (k.form.self ? 2 : m.keys > 0),
                             k.form.offset(),
                             bool(k.labels)};
    launch_kernel(rows_kernel, divide_up(k.rows, threads), threads, 0, stream, results, k.form);
    launch_kernel(mean_kernel, 1, threads, 0, stream, m.positives + 2 * m.padded_rows, k.loss.as<float>(), k.rows);
    launch_kernel(mean_kernel, 1, threads, 0, stream, m.positives + 3 * m.padded_rows, k.accuracy.as<float>(), k.rows);
  });
}

void run(const InfoNceBackward& k, Stream stream) {
  dispatch_cuda(k.q.dtype, [&](auto tag) {
    using T = decltype(tag);
    const Work<T> w(k, Scratch(stream.scratch), true);
    const ContrastScratch<T, float>& m = w.memory;
    const T *q = k.q.as<T>(), *others = k.form.self ? q : k.k.as<T>();
    const float *inv_q = k.inv_norm_q.as<float>(), *inv_k = k.form.self ? inv_q : k.inv_norm_k.as<float>();
    const float *slopes = k.slopes.as<float>(), *dloss = k.dloss.as<float>();
    make_units(w, k, const_cast<float*>(inv_q), const_cast<float*>(inv_k), true, stream);  // read: they are given
    const bool plain = !k.form.hard && !k.labels;
    Walk<T> walk = w.walk(k.labels.as<int32_t>());
    walk.row_slopes = m.row_slopes, walk.column_slopes = m.column_slopes;
    const auto gather = [&] {
      return with_tile<T>(w.dim, true, [&](auto tile) {
        using Tile = decltype(tile);
        return launch_walk(plain ? gather_kernel<Tile, true> : gather_kernel<Tile, false>, tile, walk, m.gradient,
                           m.parts, true, stream);
      });
    };
    const auto finish = [&](const T* z, const T* positives, const float* inv, const float* inv_others, int parts,
                            Out to) {
      launch_kernel(finish_kernel<T>, divide_up(k.rows, warps), threads, 0, stream,
                    Finish<T>{z, positives, inv, inv_others, slopes + 3 * k.rows, dloss, m.gradient, to.as<T>(), k.rows,
                              m.padded_rows, k.dim, m.padded_dim, parts},
                    k.form);
    };
    if (k.dq) {
      walk.slope_room = m.padded_columns;
      launch_slopes(slopes, m.row_slopes, k.rows, m.padded_rows, stream);
      launch_slopes(k.form.self ? slopes : nullptr, m.column_slopes, k.rows, m.padded_columns, stream);
      finish(q, others, inv_q, inv_k, gather(), k.dq);
    }
    if (k.dk) {
      int parts = 0;
      if (m.keys) {
        walk.rows = m.column_rows, walk.columns = m.rows;
        walk.column_count = k.rows, walk.column_room = walk.slope_room = m.padded_rows;
        launch_slopes(nullptr, m.row_slopes, k.rows, m.padded_rows, stream);
        launch_slopes(slopes, m.column_slopes, k.rows, m.padded_rows, stream);
        parts = gather();
      }
      finish(others, q, inv_k, inv_q, parts, k.dk);
    }
  });
}

}  // namespace gestalt::kernels::cuda
