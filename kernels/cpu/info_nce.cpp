// Contrast on the CPU: tiles of similarities that live in the first-level caches, each row's owner walking its columns.
#include "kernels/info_nce.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/math.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t block = nt_xent_tile;
constexpr double left_out = -1e30;  // the similarity of a column that a row is not compared with: e^ of it is 0

// Unit rows in the two layouts that products take them in.
template <class S>
struct Side {
  S *row, *panel;
  int64_t count, dim, pitch;

  int64_t blocks() const { return divide_up(count, block); }
  int64_t valid(int64_t b) const { return std::min(block, count - b * block); }
  const S* rows_of(int64_t b) const { return row + b * block * pitch; }
};

// One walk: rows against columns, a tile at a time.
template <class S>
struct Walk {
  Side<S> rows, columns;
  const int32_t* labels;
  bool diagonal;  // a row is not compared with the column of its own number
  int64_t half;   // nor with the one so far on, modulo rows, if this is not 0
  S first, second, offset;
  bool hard;

  Walk(const ContrastForm& f, const Side<S>& rows, const Side<S>& columns, const int32_t* labels)
      : rows(rows),
        columns(columns),
        labels(labels),
        diagonal(f.self || f.batch_negatives),
        half(f.self && !labels ? rows.count / 2 : 0),
        first(static_cast<S>(f.first())),
        second(static_cast<S>(f.second())),
        offset(static_cast<S>(f.offset())),
        hard(f.hard) {}

  void leave_out(int64_t bi, int64_t bj, S* tile, int64_t i, int64_t column) const {
    const int64_t j = column - bj * block;
    if (j >= 0 && j < block) tile[(i - bi * block) * block + j] = static_cast<S>(left_out);
  }
  void similarities(int64_t bi, int64_t bj, S* tile) const {
    tile_product<S, Layout::rows, Layout::panels, false>(
        rows.rows_of(bi), rows.pitch, columns.panel + bj * block * columns.dim, 0, block, block, rows.dim, tile, block);
    for (int64_t i = bi * block; diagonal && i < bi * block + rows.valid(bi); ++i) {
      leave_out(bi, bj, tile, i, i);
      if (half) leave_out(bi, bj, tile, i, (i + half) % rows.count);
    }
  }
};

// Calls f(first block, last block) of columns for each block of rows and each part of the columns.
template <class S, class F>
void each_part(const Walk<S>& w, int64_t parts, F&& f) {
  const int64_t blocks = w.columns.blocks(), row_blocks = w.rows.blocks();
  parallel_ranges(row_blocks * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t bi = n / parts, part = n % parts;
      f(bi, part, blocks * part / parts, blocks * (part + 1) / parts);
    }
  });
}

// Adds a tile's columns to what was seen of one row.
template <class S>
void add_columns(const Walk<S>& w, const S* s, int64_t count, int32_t label, const int32_t* labels, S* sums) {
  S first = 0, second = 0, most = sums[2], same = 0;
  const S by = w.first, by_second = w.second, offset = w.offset;
  if (labels) {
#pragma omp simd reduction(+ : first, second, same) reduction(max : most)
    for (int64_t j = 0; j < count; ++j) {
      // One condition a choice: gcc 12 leaves a loop scalar in which one of labels meets one of similarities.
      const S near = s[j], matches = labels[j] == label ? S(1) : S(0), alike = near > S(-2) ? matches : S(0);
      first += fast_exp(near * by - offset);
      second += alike * near;
      same += alike;
      most = larger(most, near + matches * static_cast<S>(left_out));
    }
  } else if (w.hard) {
#pragma omp simd reduction(+ : first, second) reduction(max : most)
    for (int64_t j = 0; j < count; ++j) {
      const S e = fast_exp(s[j] * by), tilted = fast_exp(s[j] * by_second);
      first += e;
      second += s[j] > S(-2) ? tilted : S(0);
      most = larger(most, s[j]);
    }
  } else {
#pragma omp simd reduction(+ : first) reduction(max : most)
    for (int64_t j = 0; j < count; ++j) {
      first += fast_exp(s[j] * by - offset);
      most = larger(most, s[j]);
    }
  }
  sums[0] += first, sums[1] += second, sums[2] = most, sums[3] += same;
}

// The same where nothing but exponentials is summed; they take the similarities' place.
template <class S>
void pull_and_add(const Walk<S>& w, S* s, int64_t count, S* sums) {
  S first = 0, most = sums[2];
  const S by = w.first, offset = w.offset;
#pragma omp simd reduction(+ : first) reduction(max : most)
  for (int64_t j = 0; j < count; ++j) {
    most = larger(most, s[j]);
    s[j] = fast_exp(s[j] * by - offset);
    first += s[j];
  }
  sums[0] += first, sums[2] = most;
}

// Adds to rows of a gradient what the columns of a tile pull with.
template <class S>
void gather_tile(const Walk<S>& w, const S* tile, int64_t bj, S* to) {
  tile_product<S, Layout::rows, Layout::rows, true>(tile, block, w.columns.rows_of(bj), w.rows.pitch, block,
                                                    w.rows.pitch, block, to, w.rows.pitch);
}

// sums (part, row, 4) and, unless null, pulled (part, row, pitch): Σ e^(first·s − offset) v.
template <class S>
void sum_rows(const Walk<S>& w, int64_t parts, S* sums, S* pulled) {
  const int64_t padded = w.rows.blocks() * block, pitch = w.rows.pitch;
  each_part(w, parts, [&](int64_t bi, int64_t part, int64_t begin, int64_t end) {
    alignas(64) S tile[block * block];
    S* of_rows = sums + 4 * (part * padded + bi * block);
    S* to = pulled ? pulled + (part * padded + bi * block) * pitch : nullptr;
    if (to) std::fill(to, to + block * pitch, S(0));
    for (int64_t i = 0; i < block; ++i) of_rows[4 * i] = of_rows[4 * i + 1] = of_rows[4 * i + 3] = 0;
    for (int64_t i = 0; i < block; ++i) of_rows[4 * i + 2] = -2;
    for (int64_t bj = begin; bj < end; ++bj) {
      w.similarities(bi, bj, tile);
      for (int64_t i = 0; i < w.rows.valid(bi); ++i)
        if (to)
          pull_and_add(w, tile + i * block, w.columns.valid(bj), of_rows + 4 * i);
        else
          add_columns(w, tile + i * block, w.columns.valid(bj), w.labels ? w.labels[bi * block + i] : 0,
                      w.labels ? w.labels + bj * block : nullptr, of_rows + 4 * i);
      if (to) gather_tile(w, tile, bj, to);
    }
  });
}

// Slopes of rows and columns, each as (3, room): how much first, second and label exponentials pull.
template <class S>
struct Slopes {
  const S *rows, *columns;
  int64_t row_room, column_room;
};

// A tile's similarities become ∂loss/∂s_ij, for row i in both its roles.
template <class S>
void pull(const Walk<S>& w, const Slopes<S>& slopes, int64_t bi, int64_t bj, S* tile) {
  const S* of_column = slopes.columns + bj * block;
  const S *second_of_column = of_column + slopes.column_room, *label_of_column = second_of_column + slopes.column_room;
  const S by = w.first, by_second = w.second, offset = w.offset;
  for (int64_t i = 0; i < block; ++i) {
    S* s = tile + i * block;
    const S* of_row = slopes.rows + bi * block + i;
    const S first = of_row[0], second = of_row[slopes.row_room], label = of_row[2 * slopes.row_room];
    if (w.labels) {
      const int64_t row = bi * block + i, count = w.columns.valid(bj);
      const int32_t of = row < w.rows.count ? w.labels[row] : 0;
      for (int64_t j = 0; j < block; ++j) {
        const bool alike = j < count && w.labels[bj * block + j] == of && s[j] > S(-2);
        s[j] = fast_exp(s[j] * by - offset) * (first + of_column[j]) - (alike ? label + label_of_column[j] : S(0));
      }
    } else if (w.hard) {
#pragma omp simd
      for (int64_t j = 0; j < block; ++j) {
        const S tilted = s[j] > S(-2) ? fast_exp(s[j] * by_second) : S(0);
        s[j] = fast_exp(s[j] * by) * (first + of_column[j]) - tilted * (second + second_of_column[j]);
      }
    } else {
#pragma omp simd
      for (int64_t j = 0; j < block; ++j) s[j] = fast_exp(s[j] * by - offset) * (first + of_column[j]);
    }
  }
}

// gradient (part, row, pitch) of the unit rows.
template <class S>
void gather(const Walk<S>& w, const Slopes<S>& slopes, int64_t parts, S* gradient) {
  const int64_t pitch = w.rows.pitch, padded = w.rows.blocks() * block;
  each_part(w, parts, [&](int64_t bi, int64_t part, int64_t begin, int64_t end) {
    alignas(64) S tile[block * block];
    S* to = gradient + (part * padded + bi * block) * pitch;
    std::fill(to, to + block * pitch, S(0));
    for (int64_t bj = begin; bj < end; ++bj) {
      w.similarities(bi, bj, tile);
      pull(w, slopes, bi, bj, tile);
      gather_tile(w, tile, bj, to);
    }
  });
}

template <class T, class S>
S inverse_norm(const T* z, int64_t dim) {
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t d = 0; d < dim; ++d) squares += static_cast<double>(z[d]) * static_cast<double>(z[d]);
  return squares > 1e-24 ? static_cast<S>(1 / std::sqrt(squares)) : S(0);
}

// Writes unit rows of z, and from row `count` to `end` zeros.
template <class T, class S>
void unit_rows(const T* z, const S* inv_norm, int64_t count, int64_t end, int64_t dim, int64_t pitch, S* to) {
  parallel_ranges(end, block, [&](int64_t first, int64_t past) {
    for (int64_t i = first; i < past; ++i) {
      S* row = to + i * pitch;
      const int64_t filled = i < count ? dim : 0;
      const S by = i >= count ? S(0) : inv_norm ? inv_norm[i] : inverse_norm<T, S>(z + i * dim, dim);
#pragma omp simd
      for (int64_t d = 0; d < filled; ++d) row[d] = static_cast<S>(z[i * dim + d]) * by;
      std::fill(row + filled, row + pitch, S(0));
    }
  });
}

// Both sides of the contrast as unit rows in the scratch.
template <class T, class S, class K>
struct Sides {
  ContrastScratch<S, S> memory;
  Side<S> rows, columns;

  Sides(const K& k, In extra, int64_t extra_count, const S* inv_q, const S* inv_k, ContrastPass pass, Scratch scratch)
      : memory(scratch, Device::cpu, k.form, k.rows, extra_count, k.dim, pass),
        rows{memory.rows, memory.row_panels, k.rows, k.dim, memory.padded_dim},
        columns{memory.column_rows, memory.panels, memory.columns, k.dim, memory.padded_dim} {
    const int64_t pitch = memory.padded_dim;
    unit_rows(k.q.template as<T>(), inv_q, k.rows, memory.padded_rows, k.dim, pitch, rows.row);
    if (rows.panel) make_panels(rows.row, pitch, memory.padded_rows, k.dim, rows.panel);
    if (k.form.self) return;
    if (memory.keys)
      unit_rows(k.k.template as<T>(), inv_k, k.rows, extra_count ? k.rows : memory.padded_columns, k.dim, pitch,
                columns.row);
    if (extra_count)
      unit_rows(extra.as<S>(), static_cast<const S*>(nullptr), extra_count, memory.padded_columns - memory.keys, k.dim,
                pitch, columns.row + memory.keys * pitch);
    make_panels(columns.row, pitch, memory.padded_columns, k.dim, columns.panel);
  }
};

template <class T, class S>
S similarity(const T* a, S inv_a, const T* b, S inv_b, int64_t dim) {
  S sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t d = 0; d < dim; ++d) sum += (static_cast<S>(a[d]) * inv_a) * (static_cast<S>(b[d]) * inv_b);
  return sum;
}

// w_i = 2 − B·softmax_i(s_ip/σ) over the images, the same for both views of a self contrast.
template <class S>
void weigh_positives(const S* similarity, S* weight, int64_t rows, const ContrastForm& f) {
  const int64_t images = f.self ? rows / 2 : rows;
  double sum = 0;
  for (int64_t i = 0; i < images; ++i) sum += std::exp((static_cast<double>(similarity[i]) - 1) / f.weight_temperature);
  for (int64_t i = 0; i < rows; ++i) {
    const double e = std::exp((static_cast<double>(similarity[i % images]) - 1) / f.weight_temperature);
    weight[i] = static_cast<S>(2 - real(images) * e / sum);
  }
}

// Writes dz of the rows of z from the parts of the gradient, or from what they pulled by `first`; `positive` is the
// slope there, `others` where positives are.
template <class T, class S>
struct Finish {
  const T *z, *others;
  const S *inv_norm, *inv_others, *positive;
  S scale;
  T* dz;
  const S *pulled = nullptr, *first = nullptr;
};
template <class T, class S>
void finish_rows(const Finish<T, S>& f, const ContrastForm& form, const Side<S>& rows, S* gradient, int64_t parts) {
  const int64_t padded = rows.blocks() * block, dim = rows.dim, pitch = rows.pitch;
  parallel_ranges(rows.count, block, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      S* du = gradient + i * pitch;
      for (int64_t d = 0; f.pulled && d < dim; ++d) du[d] = f.first[i] * f.pulled[i * dim + d];
      for (int64_t p = 1; p < parts; ++p)
#pragma omp simd
        for (int64_t d = 0; d < dim; ++d) du[d] += du[p * padded * pitch + d];
      const int64_t other = form.positive(i, rows.count);
      const S slope = (f.positive[i] + (form.self ? f.positive[other] : S(0))) * f.inv_others[other];
      const T *z = f.z + i * dim, *positive = f.others + other * dim;
      const S inverse = f.inv_norm[i], length = f.scale * inverse;
      S along = 0;  // through u = z/‖z‖: the part along u changes the length only
#pragma omp simd reduction(+ : along)
      for (int64_t d = 0; d < dim; ++d) {
        du[d] += slope * static_cast<S>(positive[d]);
        along += du[d] * static_cast<S>(z[d]) * inverse;
      }
#pragma omp simd
      for (int64_t d = 0; d < dim; ++d)
        store(&f.dz[i * dim + d], length * (du[d] - along * (static_cast<S>(z[d]) * inverse)));
    }
  });
}

// Σ over the parts of the gradient, as (count, dim).
template <class S>
void join_parts(const ContrastScratch<S, S>& memory, int64_t count, int64_t dim, S* to) {
  const int64_t part = memory.padded_rows * memory.padded_dim;
  parallel_ranges(count, block, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const S* from = memory.gradient + i * memory.padded_dim;
      std::copy(from, from + dim, to + i * dim);
      for (int64_t p = 1; p < memory.parts; ++p)
#pragma omp simd
        for (int64_t d = 0; d < dim; ++d) to[i * dim + d] += from[p * part + d];
    }
  });
}

// The three slopes of `count` rows, or zeros, as (3, room).
template <class S>
void spread_slopes(const S* slopes, int64_t count, int64_t room, S* to) {
  for (int n = 0; n < 3; ++n)
    for (int64_t i = 0; i < room; ++i) to[n * room + i] = slopes && i < count ? slopes[n * count + i] : S(0);
}

}  // namespace

void run(const InfoNce& k, Stream stream) {
  dispatch_float(k.q.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T *q = k.q.as<T>(), *others = k.form.self ? q : k.k.as<T>();
    S *inv_q = k.inv_norm_q.as<S>(), *inv_k = k.inv_norm_k.as<S>();
    for (int64_t i = 0; i < k.rows; ++i) {
      inv_q[i] = inverse_norm<T, S>(q + i * k.dim, k.dim);
      inv_k[i] = k.form.self ? inv_q[i] : inverse_norm<T, S>(others + i * k.dim, k.dim);
    }
    const Sides<T, S, InfoNce> sides(k, k.extra, k.extra_count, inv_q, inv_k, {true, bool(k.pulled)},
                                     Scratch(stream.scratch));
    const ContrastScratch<S, S>& memory = sides.memory;
    const int32_t* labels = k.labels.as<int32_t>();
    const Walk<S> walk(k.form, sides.rows, sides.columns, labels);
    sum_rows(walk, memory.parts, memory.sums, memory.gradient);
    if (k.pulled) join_parts(memory, k.rows, k.dim, k.pulled.as<S>());

    S *similarities = memory.positives, *weights = similarities + memory.padded_rows;
    for (int64_t i = 0; i < k.rows; ++i) {
      const int64_t other = k.form.positive(i, k.rows);
      similarities[i] = similarity(q + i * k.dim, inv_q[i], others + other * k.dim, inv_k[other], k.dim);
      weights[i] = 1;
    }
    if (k.form.weight_temperature > 0) weigh_positives(similarities, weights, k.rows, k.form);
    const double share = 1 / real(k.rows), negatives = real(memory.columns) - (k.form.self ? 2 : memory.keys > 0);
    double loss = 0, right = 0;
    S* slopes = k.slopes.as<S>();
    for (int64_t i = 0; i < k.rows; ++i) {
      ContrastSums sums;
      for (int64_t p = 0; p < memory.parts; ++p) {
        const S* s = memory.sums + 4 * (p * memory.padded_rows + i);
        sums.add({static_cast<double>(s[0]), static_cast<double>(s[1]), static_cast<double>(s[2]),
                  static_cast<double>(s[3])});
      }
      const ContrastRow row = contrast_row(k.form, sums, static_cast<double>(similarities[i]),
                                           static_cast<double>(weights[i]), negatives, labels, k.form.offset());
      loss += row.loss;
      right += static_cast<double>(similarities[i]) > sums.most ? 1 : 0;
      const double of_row[] = {row.first, row.second, row.label, row.positive};
      for (int n = 0; n < contrast_slopes; ++n) slopes[n * k.rows + i] = static_cast<S>(share * of_row[n]);
    }
    k.loss.as<S>()[0] = static_cast<S>(share * loss);
    k.accuracy.as<S>()[0] = static_cast<S>(share * right);
  });
}

void run(const InfoNceBackward& k, Stream stream) {
  dispatch_float(k.q.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T *q = k.q.as<T>(), *others = k.form.self ? q : k.k.as<T>();
    const S *inv_q = k.inv_norm_q.as<S>(), *inv_k = k.inv_norm_k.as<S>(), *slopes = k.slopes.as<S>();
    const Sides<T, S, InfoNceBackward> sides(k, {}, 0, inv_q, inv_k, {false, true}, Scratch(stream.scratch));
    const ContrastScratch<S, S>& memory = sides.memory;
    const S *positive = slopes + 3 * k.rows, scale = k.dloss.as<S>()[0];
    const int32_t* labels = k.labels.as<int32_t>();
    if (k.dq) {
      if (k.form.self) {
        spread_slopes(slopes, k.rows, memory.padded_rows, memory.row_slopes);
        spread_slopes(slopes, k.rows, memory.padded_columns, memory.column_slopes);
        gather(Walk<S>(k.form, sides.rows, sides.columns, labels),
               {memory.row_slopes, memory.column_slopes, memory.padded_rows, memory.padded_columns}, memory.parts,
               memory.gradient);
      }
      finish_rows<T, S>({q, others, inv_q, inv_k, positive, scale, k.dq.as<T>(), k.pulled.as<S>(), slopes}, k.form,
                        sides.rows, memory.gradient, k.form.self ? memory.parts : 1);
    }
    if (k.dk) {
      Side<S> keys = sides.columns;
      keys.count = k.rows;
      if (k.keys_pulled()) {
        spread_slopes<S>(nullptr, k.rows, memory.padded_rows, memory.row_slopes);
        spread_slopes(slopes, k.rows, memory.padded_rows, memory.column_slopes);
        gather(Walk<S>(k.form, keys, sides.rows, labels),
               {memory.row_slopes, memory.column_slopes, memory.padded_rows, memory.padded_rows}, memory.parts,
               memory.gradient);
      } else {
        std::fill(memory.gradient, memory.gradient + memory.padded_rows * memory.padded_dim, S(0));
      }
      finish_rows<T, S>({others, q, inv_k, inv_q, positive, scale, k.dk.as<T>()}, k.form, keys, memory.gradient,
                        k.keys_pulled() ? memory.parts : 1);
    }
  });
}

}  // namespace gestalt::kernels::cpu
