// A small register-blocked matrix product for kernels that use a tile of products at once and then forget it.
#pragma once

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "kernels/memory.h"

namespace gestalt::kernels::cpu {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64, tile_rows = 8;
#elif defined(__AVX__)
constexpr int vector_bytes = 32, tile_rows = 4;
#else
constexpr int vector_bytes = 16, tile_rows = 4;
#endif

// One SIMD register of T, as GCC's and clang's vector extension has it, and a step of a sum of products.
template <class T>
struct Simd {
  using Sum = T;
  typedef T Vector __attribute__((vector_size(vector_bytes)));
  static Vector multiply_add(Vector sum, T factor, Vector row) { return sum + factor * row; }
};

// Two bf16 numbers that follow each other in the direction of a sum, whose products are taken together: one after the
// other in a row of a, one below the other in a column of b. Registers of pairs are typed as floats.
struct Pair {
  BFloat16 first, second;
};
template <>
struct Simd<Pair> {
  using Sum = float;
  using Vector = Simd<float>::Vector;
  static Vector multiply_add(Vector sum, Pair factor, Vector row) {
#ifdef __AVX512BF16__
    const __m512i factors = _mm512_set1_epi32(std::bit_cast<int>(factor));
    return _mm512_dpbf16_ps(sum, std::bit_cast<__m512bh>(factors), std::bit_cast<__m512bh>(row));
#else
    typedef uint32_t Bits __attribute__((vector_size(vector_bytes)));
    const Bits bits = std::bit_cast<Bits>(row), first = bits << 16, second = bits & 0xffff0000u;
    sum += static_cast<float>(factor.first) * std::bit_cast<Vector>(first);
    return sum + static_cast<float>(factor.second) * std::bit_cast<Vector>(second);
#endif
  }
};

// Columns that one call of micro_product makes.
template <class T>
constexpr int tile_columns = 2 * vector_bytes / static_cast<int>(sizeof(T));

// How an operand of tile_product lies in memory: row after row; transposed, column after column; or, for b only, as
// panels of tile_columns columns, each (k, tile_columns), one panel after another. The last panel is half as wide where
// they hold an odd number of vectors; its stride is then how many columns they hold, or 0 where that is n.
enum class Layout { rows, transposed, panels };

// c (rows, width) = or += a (rows, k) · b (k, width), strides lda, ldb, ldc; width is `vectors` registers.
template <class T, Layout a_layout, bool accumulate, int vectors = 2, int rows = tile_rows>
inline void micro_product(const T* __restrict__ a, int64_t lda, const T* __restrict__ b, int64_t ldb, int64_t k,
                          typename Simd<T>::Sum* __restrict__ c, int64_t ldc) {
  using Vector = typename Simd<T>::Vector;
  constexpr int lanes = tile_columns<T> / 2;
  Vector sum[rows][vectors] = {};
  for (int64_t l = 0; l < k; ++l) {
    Vector row[vectors];
    for (int v = 0; v < vectors; ++v) std::memcpy(&row[v], b + l * ldb + v * lanes, sizeof(Vector));
#pragma GCC unroll 9
    for (int r = 0; r < rows; ++r) {
      const T factor = a_layout == Layout::transposed ? a[l * lda + r] : a[r * lda + l];
      for (int v = 0; v < vectors; ++v) sum[r][v] = Simd<T>::multiply_add(sum[r][v], factor, row[v]);
    }
  }
#pragma GCC unroll 9
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      auto* at = c + r * ldc + v * lanes;
      Vector old = {};
      if constexpr (accumulate) std::memcpy(&old, at, sizeof(Vector));
      old += sum[r][v];
      std::memcpy(at, &old, sizeof(Vector));
    }
}

// The least number of rows, from n on, that tile_product makes: it takes one more than a multiple of tile_rows too.
inline int64_t product_rows(int64_t n) {
  return n > 1 && n % tile_rows == 1 ? n : (n + tile_rows - 1) / tile_rows * tile_rows;
}

// c (m, n) = or += a (m, k) · b (k, n); m as product_rows gives it, n a multiple of half of tile_columns (one vector).
// k counts pairs where T is Pair.
template <class T, Layout a_layout, Layout b_layout, bool accumulate>
inline void tile_product(const T* a, int64_t lda, const T* b, int64_t ldb, int64_t m, int64_t n, int64_t k,
                         typename Simd<T>::Sum* c, int64_t ldc) {
  static_assert(a_layout != Layout::panels && b_layout != Layout::transposed);
  constexpr bool panels = b_layout == Layout::panels;
  constexpr int64_t width = tile_columns<T>;
  const int64_t laid_out = ldb == 0 ? n : ldb;
  const auto micro = [&]<int vectors, int rows>(int64_t i, int64_t j) {
    micro_product<T, a_layout, accumulate, vectors, rows>(
        a + (a_layout == Layout::transposed ? i : i * lda), lda, panels ? b + j * k : b + j,
        panels ? std::min(width, laid_out - j) : ldb, k, c + i * ldc + j, ldc);
  };
  const auto columns = [&]<int vectors>(int64_t j, std::integral_constant<int, vectors>) {
    int64_t i = 0;
    for (; i + 2 * tile_rows <= m || i + tile_rows == m; i += tile_rows)
      micro.template operator()<vectors, tile_rows>(i, j);
    if (i < m) micro.template operator()<vectors, tile_rows + 1>(i, j);
  };
  int64_t j = 0;
  for (; j + width <= n; j += width) columns(j, std::integral_constant<int, 2>{});
  if (j < n) columns(j, std::integral_constant<int, 1>{});
}

// Exchanges the elements of the rows, seen as a matrix of squares of `step` · 2, across each square's diagonal.
template <int step, class Vector, size_t... lane>
inline void exchange(Vector& a, Vector& b, std::index_sequence<lane...>) {
  constexpr int n = sizeof...(lane);
  const Vector low = __builtin_shufflevector(a, b, (lane & step ? n + lane - step : lane)...);
  b = __builtin_shufflevector(a, b, (lane & step ? n + lane : lane + step)...);
  a = low;
}

// Transposes a square matrix, a register a row.
template <class Vector, int n, int step = n / 2>
inline void transpose(Vector (&rows)[n]) {
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i)
    if (!(i & step)) exchange<step>(rows[i], rows[i + step], std::make_index_sequence<n>{});
  if constexpr (step > 1) transpose<Vector, n, step / 2>(rows);
}

// f over the lanes of a register, by halves.
template <class Vector, int n, class F, size_t... lane>
inline auto reduce_lanes(Vector v, F f, std::index_sequence<lane...>) {
  if constexpr (n == 1) {
    return v[0];
  } else {
    const Vector other = __builtin_shufflevector(v, v, (lane + n / 2) % sizeof...(lane)...);
    return reduce_lanes<Vector, n / 2>(f(v, other), f, std::index_sequence<lane...>{});
  }
}

// f over x [0, count), count > 0, a multiple of a register's lanes. A loop over few registers, whose `omp simd
// reduction` would end with a lane after the other.
template <class T, class F>
inline T reduce(const T* x, int64_t count, F f) {
  using Vector = typename Simd<T>::Vector;
  constexpr int lanes = tile_columns<T> / 2;
  Vector all, v;
  std::memcpy(&all, x, sizeof(Vector));
  for (int64_t i = lanes; i < count; i += lanes) {
    std::memcpy(&v, x + i, sizeof(Vector));
    all = f(all, v);
  }
  return reduce_lanes<Vector, lanes>(all, f, std::make_index_sequence<lanes>{});
}

// to (k, lanes) = the transpose of as many rows of x as a register has lanes; rows of `to` are ldto apart.
template <class T>
inline void transpose_rows(const T* x, int64_t ldx, int64_t k, T* to, int64_t ldto) {
  constexpr int lanes = tile_columns<T> / 2;
  int64_t l = 0;
  for (; l + lanes <= k; l += lanes) {
    typename Simd<T>::Vector rows[lanes];
#pragma GCC unroll 16
    for (int r = 0; r < lanes; ++r) std::memcpy(&rows[r], x + r * ldx + l, sizeof(rows[r]));
    transpose(rows);
#pragma GCC unroll 16
    for (int r = 0; r < lanes; ++r) std::memcpy(to + (l + r) * ldto, &rows[r], sizeof(rows[r]));
  }
  for (; l < k; ++l)
    for (int r = 0; r < lanes; ++r) to[l * ldto + r] = x[r * ldx + l];
}

// Lays rows [0, count) of x (stride ldx, k columns) out as panels of columns: what tile_product takes as b to make
// x·xᵀ. `count` is a multiple of half of tile_columns (one vector).
template <class T>
inline void make_panels(const T* x, int64_t ldx, int64_t count, int64_t k, T* panels) {
  constexpr int lanes = tile_columns<T> / 2;
  for (int64_t j = 0; j < count; j += lanes) {
    const int64_t first = j / tile_columns<T> * tile_columns<T>,
                  width = std::min<int64_t>(tile_columns<T>, count - first);
    transpose_rows(x + j * ldx, ldx, k, panels + first * k + j - first, width);
  }
}

}  // namespace gestalt::kernels::cpu
