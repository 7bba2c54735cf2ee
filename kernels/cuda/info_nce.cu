// Contrast on CUDA: tiles of similarities on the tensor cores; each block owns rows and walks a part of their columns.
#include "kernels/info_nce.h"

#include <cmath>

#include "kernels/cuda/contrast_walk.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;  // of the kernels that walk over rows, a warp a row

// What a launch works in.
template <class T>
struct Work {
  ContrastScratch<T, float> memory;
  const ContrastForm& form;
  int64_t rows, dim;

  template <class K>
  Work(const K& k, Scratch scratch, int64_t extra_count, ContrastPass pass)
      : memory(scratch, Device::cuda, k.form, k.rows, extra_count, k.dim, pass),
        form(k.form),
        rows(k.rows),
        dim(k.dim) {}

  Walk<T> walk(const int32_t* labels) const {
    Walk<T> w = {};
    w.rows = memory.rows, w.columns = memory.column_rows, w.labels = labels;
    w.sums = memory.sums, w.gradient = memory.gradient;
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

// Σ over the parts of a gradient, as (rows, dim).
__global__ void __launch_bounds__(threads) join_parts_kernel(const float* gradient, float* to, int64_t rows,
                                                             int64_t dim, int64_t room, int64_t pitch, int parts) {
  grid_stride(rows * dim, [&](int64_t n) {
    const int64_t i = n / dim, d = n % dim;
    float sum = 0;
    for (int p = 0; p < parts; ++p) sum += gradient[(p * room + i) * pitch + d];
    to[n] = sum;
  });
}

// What the gradient of rows of z is finished from: parts of it, or what was pulled by exponentials and its slopes
// `first`. `others` are the rows that positives are among.
template <class T>
struct Finish {
  const T *z, *others;
  const float *inv_norm, *inv_others, *positive, *dloss, *gradient, *pulled, *first;
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
    if (f.pulled) du[n] = f.first[i] * f.pulled[i * f.dim + d];
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
int launch_walk(void (*kernel)(Walk<T>, int), Tile, const Walk<T>& w, int64_t most, bool backward, Stream stream) {
  const int64_t tiles = divide_up(w.column_count, Tile::columns), tiles_of_part = divide_up(tiles, most);
  const int64_t parts = divide_up(tiles, tiles_of_part);
  launch_kernel(kernel, dim3(divide_up(w.row_count, Tile::rows), parts), Tile::threads, Tile::bytes(backward), stream,
                w, static_cast<int>(tiles_of_part));
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
void make_units(const Work<T>& w, const K& k, In extra, float* inv_q, float* inv_k, bool given, Stream stream) {
  const ContrastScratch<T, float>& m = w.memory;
  const auto found = [&](float* inv) { return given ? nullptr : inv; };
  const auto known = [&](const float* inv) { return given ? inv : nullptr; };
  launch_units(k.q.template as<T>(), m.rows, found(inv_q), known(inv_q), k.rows, m.padded_rows, k.dim, m.padded_dim,
               stream);
  if (k.form.self) return;
  launch_units(k.k.template as<T>(), m.keys ? m.column_rows : nullptr, found(inv_k), known(inv_k), k.rows,
               m.keys ? m.padded_columns : k.rows, k.dim, m.padded_dim, stream);
  if (extra)
    launch_units(extra.as<float>(), m.column_rows + m.keys * m.padded_dim, static_cast<float*>(nullptr),
                 static_cast<const float*>(nullptr), m.columns - m.keys, m.padded_columns - m.keys, k.dim, m.padded_dim,
                 stream);
}

void launch_slopes(const float* slopes, float* to, int64_t count, int64_t room, Stream stream) {
  launch_kernel(slopes_kernel, blocks_for(3 * room, threads), threads, 0, stream, slopes, to, count, room);
}

}  // namespace

void run(const InfoNce& k, Stream stream) {
  dispatch_cuda(k.q.dtype, [&](auto tag) {
    using T = decltype(tag);
    const Work<T> w(k, Scratch(stream.scratch), k.extra_count, {true, bool(k.pulled)});
    const ContrastScratch<T, float>& m = w.memory;
    const T *q = k.q.as<T>(), *others = k.form.self ? q : k.k.as<T>();
    float *inv_q = k.inv_norm_q.as<float>(), *inv_k = k.form.self ? inv_q : k.inv_norm_k.as<float>();
    make_units(w, k, k.extra_count ? k.extra : In{}, inv_q, inv_k, false, stream);
    const Walk<T> walk = w.walk(k.labels.as<int32_t>());
    const bool plain = !k.form.hard && !k.labels;
    const bool pulls = bool(k.pulled);
    const int parts = with_tile<T>(w.dim, pulls, [&](auto tile) {
      using Tile = decltype(tile);
      return launch_walk(pulls   ? gather_kernel<Tile, Pull::exponentials>
                         : plain ? sums_kernel<Tile, true>
                                 : sums_kernel<Tile, false>,
                         tile, walk, m.parts, pulls, stream);
    });
    if (pulls)
      launch_kernel(join_parts_kernel, blocks_for(k.rows * k.dim, threads), threads, 0, stream, m.gradient,
                    k.pulled.as<float>(), k.rows, k.dim, m.padded_rows, m.padded_dim, parts);
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
    const Work<T> w(k, Scratch(stream.scratch), 0, {false, true});
    const ContrastScratch<T, float>& m = w.memory;
    const T *q = k.q.as<T>(), *others = k.form.self ? q : k.k.as<T>();
    const float *inv_q = k.inv_norm_q.as<float>(), *inv_k = k.form.self ? inv_q : k.inv_norm_k.as<float>();
    const float *slopes = k.slopes.as<float>(), *dloss = k.dloss.as<float>();
    if (k.form.self || k.keys_pulled())  // norms are read: they are given
      make_units(w, k, {}, const_cast<float*>(inv_q), const_cast<float*>(inv_k), true, stream);
    const bool plain = !k.form.hard && !k.labels;
    Walk<T> walk = w.walk(k.labels.as<int32_t>());
    walk.row_slopes = m.row_slopes, walk.column_slopes = m.column_slopes;
    const auto gather = [&] {
      return with_tile<T>(w.dim, true, [&](auto tile) {
        using Tile = decltype(tile);
        return launch_walk(plain ? gather_kernel<Tile, Pull::plain> : gather_kernel<Tile, Pull::any>, tile, walk,
                           m.parts, true, stream);
      });
    };
    const auto finish = [&](Finish<T> f) {
      f.positive = slopes + 3 * k.rows, f.dloss = dloss, f.gradient = m.gradient, f.first = slopes;
      f.rows = k.rows, f.room = m.padded_rows, f.dim = k.dim, f.pitch = m.padded_dim;
      launch_kernel(finish_kernel<T>, divide_up(k.rows, warps), threads, 0, stream, f, k.form);
    };
    if (k.dq) {
      int parts = 0;
      if (k.form.self) {
        walk.slope_room = m.padded_columns;
        launch_slopes(slopes, m.row_slopes, k.rows, m.padded_rows, stream);
        launch_slopes(slopes, m.column_slopes, k.rows, m.padded_columns, stream);
        parts = gather();
      }
      finish({.z = q,
              .others = others,
              .inv_norm = inv_q,
              .inv_others = inv_k,
              .pulled = k.pulled.as<float>(),
              .dz = k.dq.as<T>(),
              .parts = parts});
    }
    if (k.dk) {
      int parts = 0;
      if (k.keys_pulled()) {
        walk.rows = m.column_rows, walk.columns = m.rows;
        walk.column_count = k.rows, walk.column_room = walk.slope_room = m.padded_rows;
        launch_slopes(nullptr, m.row_slopes, k.rows, m.padded_rows, stream);
        launch_slopes(slopes, m.column_slopes, k.rows, m.padded_rows, stream);
        parts = gather();
      }
      finish({.z = others, .others = q, .inv_norm = inv_k, .inv_others = inv_q, .dz = k.dk.as<T>(), .parts = parts});
    }
  });
}

}  // namespace gestalt::kernels::cuda
