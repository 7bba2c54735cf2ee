// NT-Xent on the CPU: tiles of similarities that live in the first-level caches.
#include "kernels/nt_xent.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/math.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t block = nt_xent_tile;        // rows and columns of a tile of similarities
constexpr int64_t chunks = nt_xent_row_parts;  // fixed, so that the result does not depend on the threads

// The normalised rows, padded with zeros to whole tiles, in the two layouts that products take them in.
template <class S>
struct Units {
  int64_t rows, dim, padded_rows, padded_dim;
  S* row;       // (padded_rows, padded_dim)
  S* panel;     // the same as panels of columns
  S* gradient;  // (padded_rows, padded_dim), of `row`
  S* partial;   // (chunks, padded_rows)

  Units(int64_t rows, int64_t dim, Scratch memory) : rows(rows), dim(dim) {
    const NtXentScratch<S, S> s(memory, Device::cpu, rows, dim);
    padded_rows = s.padded_rows, padded_dim = s.padded_dim;
    row = s.units, panel = s.panels, gradient = s.gradient, partial = s.partial;
  }

  int64_t blocks() const { return padded_rows / block; }
  const S* rows_of(int64_t b) const { return row + b * block * padded_dim; }
  S* gradient_of(int64_t b) const { return gradient + b * block * padded_dim; }
  int64_t valid(int64_t b) const { return std::min(block, rows - b * block); }

  // tile (block, block) = u_I · u_Jᵀ.
  void similarities(int64_t i, int64_t j, S* tile) const {
    tile_product<S, Layout::rows, Layout::panels, false>(rows_of(i), padded_dim, panel + j * block * dim, 0, block,
                                                         block, dim, tile, block);
  }
};

template <class S>
S dot(const S* a, const S* b, int64_t count) {
  S sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

template <class T, class S>
S inverse_norm(const T* z, int64_t dim) {
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t d = 0; d < dim; ++d) squares += static_cast<double>(z[d]) * static_cast<double>(z[d]);
  return squares > 1e-24 ? static_cast<S>(1 / std::sqrt(squares)) : S(0);
}

template <class T, class S>
void normalize(const Units<S>& u, const T* z, const S* inv_norm) {
  parallel_ranges(u.blocks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * block; i < end * block; ++i) {
      S* row = u.row + i * u.padded_dim;
      const int64_t filled = i < u.rows ? u.dim : 0;
#pragma omp simd
      for (int64_t d = 0; d < filled; ++d) row[d] = static_cast<S>(z[i * u.dim + d]) * inv_norm[i];
      std::fill(row + filled, row + u.padded_dim, S(0));
    }
    make_panels(u.rows_of(begin), u.padded_dim, (end - begin) * block, u.dim, u.panel + begin * block * u.dim);
  });
}

// Adds one tile's exponentials to the sums of its rows and, the matrix being symmetric, of its columns.
template <class S>
void add_tile(const Units<S>& u, int64_t bi, int64_t bj, S* tile, S scale, S offset, S* sums) {
  u.similarities(bi, bj, tile);
  const int64_t columns = u.valid(bj);
  S *row_sums = sums + bi * block, *column_sums = sums + bj * block;
  for (int64_t i = 0; i < u.valid(bi); ++i) {
    S* e = tile + i * block;
    S sum = 0;
    if (bi == bj) {
      for (int64_t j = 0; j < columns; ++j) sum += j == i ? S(0) : fast_exp(e[j] * scale - offset);
    } else {
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < columns; ++j) {
        const S v = fast_exp(e[j] * scale - offset);
        sum += v;
        column_sums[j] += v;
      }
    }
    row_sums[i] += sum;
  }
}

// Adds what the tile w_ij = e_ij (1/l_i + 1/l_j) and its mirror image give to the gradients: w·u_J to I's, wᵀ·u_I to
// J's.
template <class S>
void gather_tile(const Units<S>& u, int64_t bi, int64_t bj, S* tile, S scale, S offset, const S* inv_sum) {
  u.similarities(bi, bj, tile);
  const S* inv_j = inv_sum + bj * block;
  for (int64_t i = 0; i < block; ++i) {
    S* e = tile + i * block;
    const S inv_i = inv_sum[bi * block + i];
#pragma omp simd
    for (int64_t j = 0; j < block; ++j) e[j] = fast_exp(e[j] * scale - offset) * (inv_i + inv_j[j]);
    if (bi == bj) e[i] = 0;
  }
  tile_product<S, Layout::rows, Layout::rows, true>(tile, block, u.rows_of(bj), u.padded_dim, block, u.padded_dim,
                                                    block, u.gradient_of(bi), u.padded_dim);
  if (bi == bj) return;
  tile_product<S, Layout::transposed, Layout::rows, true>(tile, block, u.rows_of(bi), u.padded_dim, block, u.padded_dim,
                                                          block, u.gradient_of(bj), u.padded_dim);
}

// Calls f(I, J) once for each unordered pair of groups, I = J included. Pairs meet as teams do in a round-robin
// tournament (the circle method), so pairs that run at once share no group and each group's order never changes.
template <class F>
void each_pair(int64_t groups, F&& f) {
  parallel_ranges(groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) f(g, g);
  });
  const int64_t even = groups + groups % 2, others = even - 1;  // with an odd number, one rests each round
  for (int64_t round = 0; round < others; ++round)
    parallel_ranges(even / 2, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        const int64_t a = p == 0 ? others : (round + p) % others, b = (round + others - p) % others;
        if (std::max(a, b) < groups) f(std::min(a, b), std::max(a, b));
      }
    });
}

// Writes dz from the gradients of the unit rows.
template <class T, class S>
void finish_rows(const Units<S>& u, const S* inv_norm, S factor, T* dz) {
  parallel_ranges(u.rows, block, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      S* du = u.gradient + i * u.padded_dim;
      const S *unit = u.row + i * u.padded_dim, *positive = u.row + (i + u.rows / 2) % u.rows * u.padded_dim;
#pragma omp simd
      for (int64_t d = 0; d < u.dim; ++d) du[d] -= 2 * positive[d];
      // Through u = z/‖z‖: the part of du along u changes the length only.
      const S along = dot(unit, du, u.dim), length = factor * inv_norm[i];
#pragma omp simd
      for (int64_t d = 0; d < u.dim; ++d) store(&dz[i * u.dim + d], length * (du[d] - along * unit[d]));
    }
  });
}

}  // namespace

void run(const NtXent& k, Stream stream) {
  dispatch_float(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const Units<S> u(k.rows, k.dim, Scratch(stream.scratch));
    const T* z = k.z.as<T>();
    S *inv_norm = k.inv_norm.as<S>(), *row_sum = k.row_sum.as<S>();
    for (int64_t i = 0; i < k.rows; ++i) inv_norm[i] = inverse_norm<T, S>(z + i * k.dim, k.dim);
    normalize(u, z, inv_norm);
    const S scale = static_cast<S>(1 / k.temperature), offset = static_cast<S>(nt_xent_offset(k.temperature));

    parallel_ranges(chunks, 1, [&](int64_t begin, int64_t end) {
      alignas(64) S tile[block * block];
      for (int64_t c = begin; c < end; ++c) {
        S* sums = u.partial + c * u.padded_rows;
        std::fill(sums, sums + u.padded_rows, S(0));
        // The triangle's rows shorten: going up and then down the chunks gives each the same work.
        for (int64_t turn = 0; turn * chunks < u.blocks(); ++turn) {
          const int64_t bi = turn * chunks + (turn % 2 ? chunks - 1 - c : c);
          for (int64_t bj = bi; bj < u.blocks(); ++bj) add_tile(u, bi, bj, tile, scale, offset, sums);
        }
      }
    });

    double loss = 0;
    for (int64_t i = 0; i < k.rows; ++i) {
      S sum = 0;
      for (int64_t c = 0; c < chunks; ++c) sum += u.partial[c * u.padded_rows + i];
      row_sum[i] = sum;
      const S* positive = u.row + (i + k.rows / 2) % k.rows * u.padded_dim;
      loss += std::log(static_cast<double>(sum)) + nt_xent_offset(k.temperature) -
              static_cast<double>(dot(u.row + i * u.padded_dim, positive, k.dim)) / k.temperature;
    }
    k.loss.as<S>()[0] = static_cast<S>(loss / static_cast<double>(k.rows));
  });
}

void run(const NtXentBackward& k, Stream stream) {
  dispatch_float(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const Units<S> u(k.rows, k.dim, Scratch(stream.scratch));
    const S *inv_norm = k.inv_norm.as<S>(), *row_sum = k.row_sum.as<S>();
    normalize(u, k.z.as<T>(), inv_norm);
    S* inv_sum = u.partial;
    for (int64_t i = 0; i < u.padded_rows; ++i) inv_sum[i] = i < k.rows ? 1 / row_sum[i] : S(0);
    const S scale = static_cast<S>(1 / k.temperature), offset = static_cast<S>(nt_xent_offset(k.temperature));
    const S factor = static_cast<S>(k.dy.as<S>()[0] / (static_cast<double>(k.rows) * k.temperature));

    // Groups of blocks are paired: enough pairs for many cores, and few rounds for the cores to wait at.
    const int64_t size = std::clamp<int64_t>(u.blocks() / 16, 1, 8), groups = (u.blocks() + size - 1) / size;
    std::fill(u.gradient, u.gradient + u.padded_rows * u.padded_dim, S(0));
    each_pair(groups, [&](int64_t gi, int64_t gj) {
      alignas(64) S tile[block * block];
      for (int64_t bi = gi * size; bi < std::min(u.blocks(), (gi + 1) * size); ++bi)
        for (int64_t bj = gi == gj ? bi : gj * size; bj < std::min(u.blocks(), (gj + 1) * size); ++bj)
          gather_tile(u, bi, bj, tile, scale, offset, inv_sum);
    });
    finish_rows(u, inv_norm, factor, k.dz.as<T>());
  });
}

}  // namespace gestalt::kernels::cpu
