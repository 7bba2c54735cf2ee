// A row of a matrix shared by a warp or a block: held in registers where it fits, else read again for each use.
#pragma once

#include "kernels/cuda/vector.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {

constexpr int row_threads = 256;

// How a row lies over threads: Width threads (a warp, or a whole block) take packs of N elements, Packs times; Packs =
// 0 stands for as many times as it takes, with nothing held.
template <int N_, int Packs_, int Width_>
struct RowShape {
  static constexpr int N = N_, Packs = Packs_, Width = Width_;
  static constexpr int Rows = Width == 32 ? row_threads / Width : 1, Threads = Rows * Width;  // of a block

  static __device__ __forceinline__ int slot() { return threadIdx.x / Width; }  // of this thread's row in the block
  static __device__ __forceinline__ int thread() { return threadIdx.x % Width; }

  // Calls f(p, column) for each pack of this thread; p is its number where packs are held.
  template <class F>
  static __device__ __forceinline__ void each(int columns, F&& f) {
    if constexpr (Packs > 0) {
#pragma unroll
      for (int p = 0; p < Packs; ++p) {
        const int column = (p * Width + thread()) * N;
        if (column < columns) f(p, column);
      }
    } else {
#pragma unroll 1
      for (int column = thread() * N; column < columns; column += Width * N) f(0, column);
    }
  }
  template <class T>
  static __device__ __forceinline__ T sum(T value) {
    if constexpr (Width == 32)
      return warp_sum(value);
    else
      return block_sum(value);
  }
  template <class T>
  static __device__ __forceinline__ T most(T value) {
    if constexpr (Width == 32)
      return warp_max(value);
    else
      return block_max(value);
  }
};

template <class T, class S>
class Row {
 public:
  __device__ __forceinline__ Row(const T* row, int columns) : row_(row) {
    if constexpr (S::Packs > 0)
      S::each(columns, [&](int p, int column) { held_[p] = load_pack<Pack<T, S::N>>(row + column); });
  }
  __device__ __forceinline__ Pack<T, S::N> at(int p, int column) const {
    if constexpr (S::Packs > 0)
      return held_[p];
    else
      return load_pack<Pack<T, S::N>>(row_ + column);
  }

 private:
  const T* row_;
  Pack<T, S::N> held_[S::Packs > 0 ? S::Packs : 1];
};

// Calls f(RowShape) with the shape for rows of `columns` elements of T; `aligned`: all addresses are multiples of 16.
template <class T, class F>
void dispatch_row(int64_t columns, bool aligned, F&& f) {
  constexpr int N = 16 / sizeof(T), held = 32;  // elements a thread holds
  check(columns < (int64_t{1} << 30), "[rows] got {} columns, expected below 2³⁰", columns);
  if (columns % N != 0 || !aligned) return columns <= 1024 ? f(RowShape<1, 0, 32>()) : f(RowShape<1, 0, row_threads>());
  if (columns <= 32 * held) return f(RowShape<N, held / N, 32>());
  if (columns <= row_threads * held) return f(RowShape<N, held / N, row_threads>());
  return f(RowShape<N, 0, row_threads>());
}

// Blocks of row_threads for one row a warp or block.
template <class S>
unsigned row_blocks(S, int64_t rows) {
  return static_cast<unsigned>(divide_up(rows, S::Rows));
}

}  // namespace gestalt::kernels::cuda
