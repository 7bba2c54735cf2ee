// bf16 matrices as operands of tile_product where the processor multiplies them: two products a step, summed in f32.
#pragma once

#include <cstring>

#include "kernels/cpu/tile_product.h"
#include "kernels/cpu/write.h"

namespace gestalt::kernels::cpu {

// What a product of tensors of T reads at a step: an element, widened where need be, or a pair of bf16 that lie one
// after the other in the direction of the sum.
template <class T>
struct OperandOf {
  using Type = Accumulator<T>;
  using Element = Type;
};

// A tile of sums as an operand, row after row.
template <class T>
const T* round_rows(const T* tile, int64_t, int64_t, int64_t, T*) {
  return tile;
}
// An operand that lies row after row, for products that sum over its rows instead of along them.
template <class T>
const T* pair_rows(const T* x, int64_t, int64_t, int64_t, T*) {
  return x;
}

// A row of results from sums.
template <class T>
void store_row(const Accumulator<T>* from, int64_t count, T* to) {
  if constexpr (std::is_same_v<T, BFloat16>)
    round_range(from, count, to);
  else
    std::copy_n(from, count, to);
}

#ifdef __AVX512BF16__
template <>
struct OperandOf<BFloat16> {
  using Type = Pair;
  using Element = BFloat16;
};

// Rounds (rows, columns) of a tile; an odd last row gets one of zeros beside it. `stride` in elements.
inline const Pair* round_rows(const float* tile, int64_t stride, int64_t rows, int64_t columns, Pair* rounded) {
  for (int64_t i = 0; i < rows; ++i) round_range(tile + i * stride, columns, &rounded[i * stride / 2].first);
  if (rows % 2 == 1) std::memset(rounded + rows * stride / 2, 0, columns * sizeof(BFloat16));
  return rounded;
}

// (rows / 2, columns) of pairs of one row and the next; `stride` and `columns` in elements.
inline const Pair* pair_rows(const Pair* x, int64_t stride, int64_t rows, int64_t columns, Pair* pairs) {
  for (int64_t i = 0; i < rows; i += 2) {
    const uint16_t *even = &x[i * stride / 2].first.bits, *odd = even + stride;
    Pair* to = pairs + i / 2 * stride;
#pragma omp simd
    for (int64_t d = 0; d < columns; ++d) {
      to[d].first.bits = even[d];
      to[d].second.bits = odd[d];
    }
  }
  return pairs;
}
#endif

template <class T>
using Operand = typename OperandOf<T>::Type;
template <class T>
using Element = typename OperandOf<T>::Element;
template <class T>
constexpr int64_t depth = sizeof(Operand<T>) / sizeof(Element<T>);  // elements of an operand at a step

}  // namespace gestalt::kernels::cpu
