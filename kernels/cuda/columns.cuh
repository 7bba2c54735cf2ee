// Reductions down the columns of a (rows, columns) matrix: how threads lie over it, and joining what they summed.
#pragma once

#include "kernels/cuda/vector.cuh"

namespace gestalt::kernels::cuda {

constexpr int column_threads = 256;

// A block reads `height` rows at once, `lanes` groups of `pack` neighbouring columns each; `tiles` such blocks lie side
// by side.
struct ColumnGrid {
  int lanes = 1, height;
  unsigned tiles;

  ColumnGrid(int64_t columns, int pack) {
    while (lanes < 32 && int64_t{lanes} * pack < columns) lanes *= 2;
    height = column_threads / lanes;
    tiles = static_cast<unsigned>(divide_up(columns, int64_t{lanes} * pack));
  }
  dim3 block() const { return dim3(lanes, height); }
};

// The first column of this thread.
template <int N>
__device__ __forceinline__ int64_t first_column() {
  return (blockIdx.x * int64_t{blockDim.x} + threadIdx.x) * N;
}

// The sum of each value over the block's threads of the same threadIdx.x, known to each of them. The order of the sum
// is fixed.
template <int count, class T>
__device__ __forceinline__ void sum_over_height(T (&value)[count]) {
  GESTALT_SHARED(T, sums, [count][column_threads]);
  const int width = blockDim.x, row = threadIdx.y, at = row * width + threadIdx.x;
#pragma unroll
  for (int j = 0; j < count; ++j) sums[j][at] = value[j];
  __syncthreads();
  for (int step = blockDim.y / 2; step > 0; step /= 2) {
    if (row < step) {
#pragma unroll
      for (int j = 0; j < count; ++j) sums[j][at] += sums[j][at + step * width];
    }
    __syncthreads();
  }
#pragma unroll
  for (int j = 0; j < count; ++j) value[j] = sums[j][threadIdx.x];
  __syncthreads();  // sums may be used again
}

// Partial sums lie as (parts, 2, columns). Joining them, a block takes join_width columns and join_height parts at
// once.
constexpr int join_width = 8, join_height = column_threads / join_width;

// first = Σ parts, second = Σ parts · scale; `scale` may be null.
template <class T>
__global__ void __launch_bounds__(column_threads)
    join_pairs_kernel(const T* partial, int parts, int64_t columns, T* first, T* second, const T* scale) {
  const int64_t c = first_column<1>();
  double sum[2] = {};
  if (c < columns)
#pragma unroll 4
    for (int s = threadIdx.y; s < parts; s += join_height) {
      sum[0] += partial[(2 * s) * columns + c];
      sum[1] += partial[(2 * s + 1) * columns + c];
    }
  sum_over_height(sum);
  if (c >= columns || threadIdx.y != 0) return;
  first[c] = static_cast<T>(sum[0]);
  second[c] = static_cast<T>(scale ? sum[1] * scale[c] : sum[1]);
}

inline void join_pairs(Stream stream, const float* partial, int parts, int64_t columns, float* first, float* second,
                       const float* scale = nullptr) {
  launch_kernel(join_pairs_kernel<float>, static_cast<unsigned>(divide_up(columns, join_width)),
                dim3(join_width, join_height), 0, stream, partial, parts, columns, first, second, scale);
}

}  // namespace gestalt::kernels::cuda
