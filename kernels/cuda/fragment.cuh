// Matrix fragments of a warp: what attention and NT-Xent multiply tiles in shared memory with.
//
// Fragments<BFloat16> uses bf16 products. Fragments<float> splits each float into two tf32 numbers and adds three
// products, which keeps about 21 bits. Sums are f32 in either. With g = lane / 4 and t = lane % 4, a (16, 8) sum d
// holds d(g, 2t), d(g, 2t+1), d(g+8, 2t), d(g+8, 2t+1).
#pragma once

#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/vector.cuh"

namespace gestalt::kernels::cuda {

// Rows of tiles in shared memory are this many elements longer than their matrices: 16 bytes for bf16, 32 for f32, so
// that the rows which a fragment gathers lie in different banks.
constexpr int row_padding = 8;

template <class T>
struct Fragments;

template <>
struct Fragments<BFloat16> {
  static constexpr int depth = 16;  // of one product
  struct A {
    uint32_t r[4];
  };
  struct B {
    uint32_t r[2];
  };

  // a(m, k) at tile[m · pitch + k], (16, 16).
  __device__ static __forceinline__ A load_a(const BFloat16* tile, int pitch) {
    const int lane = threadIdx.x % 32;
    A a;
    load_matrix(a.r, tile + lane % 16 * pitch + lane / 16 * 8);
    return a;
  }
  // Two neighbouring b(k, n), (16, 8) each, of the (16, 16) at tile[n · pitch + k].
  __device__ static __forceinline__ void load_b(B (&b)[2], const BFloat16* tile, int pitch) {
    const int lane = threadIdx.x % 32;
    uint32_t r[4];
    load_matrix(r, tile + (lane % 8 + lane / 16 * 8) * pitch + lane / 8 % 2 * 8);
    b[0] = {{r[0], r[1]}}, b[1] = {{r[2], r[3]}};
  }
  // The same of the (16, 16) at tile[k · pitch + n].
  __device__ static __forceinline__ void load_b_rows(B (&b)[2], const BFloat16* tile, int pitch) {
    const int lane = threadIdx.x % 32;
    uint32_t r[4];
    load_matrix_transposed(r, tile + lane % 16 * pitch + lane / 16 * 8);
    b[0] = {{r[0], r[1]}}, b[1] = {{r[2], r[3]}};
  }
  // The factor a(16, depth) from the sums that stand side by side in d[0] and d[1].
  __device__ static __forceinline__ A from_sums(const float (*d)[4]) {
    return {{round_bf16(d[0][0], d[0][1]), round_bf16(d[0][2], d[0][3]), round_bf16(d[1][0], d[1][1]),
             round_bf16(d[1][2], d[1][3])}};
  }
  __device__ static __forceinline__ void multiply(float (&d)[4], const A& a, const B& b) { multiply_bf16(d, a.r, b.r); }
  // Two neighbours of a row, at an even column.
  __device__ static __forceinline__ void store_pair(BFloat16* to, float first, float second) {
    *reinterpret_cast<uint32_t*>(to) = round_bf16(first, second);
  }
};

// The k-th column of a and row of b may be any, as long as it is the same: the slots t and t + 4 of the instruction
// stand for 2t and 2t + 1 here, which is how sums lie.
template <>
struct Fragments<float> {
  static constexpr int depth = 8;
  struct A {
    uint32_t high[4], low[4];
  };
  struct B {
    uint32_t high[2], low[2];
  };

  __device__ static __forceinline__ A load_a(const float* tile, int pitch) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const auto top = load_pack<Pack<float, 2>>(tile + g * pitch + 2 * t);
    const auto bottom = load_pack<Pack<float, 2>>(tile + (g + 8) * pitch + 2 * t);
    A a;
    split(top.v[0], a.high[0], a.low[0]), split(bottom.v[0], a.high[1], a.low[1]);
    split(top.v[1], a.high[2], a.low[2]), split(bottom.v[1], a.high[3], a.low[3]);
    return a;
  }
  __device__ static __forceinline__ void load_b(B (&b)[2], const float* tile, int pitch) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const auto row = load_pack<Pack<float, 2>>(tile + (8 * i + g) * pitch + 2 * t);
      split(row.v[0], b[i].high[0], b[i].low[0]), split(row.v[1], b[i].high[1], b[i].low[1]);
    }
  }
  __device__ static __forceinline__ void load_b_rows(B (&b)[2], const float* tile, int pitch) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j) split(tile[(2 * t + j) * pitch + 8 * i + g], b[i].high[j], b[i].low[j]);
  }
  __device__ static __forceinline__ A from_sums(const float (*d)[4]) {
    A a;
    split(d[0][0], a.high[0], a.low[0]), split(d[0][2], a.high[1], a.low[1]);
    split(d[0][1], a.high[2], a.low[2]), split(d[0][3], a.high[3], a.low[3]);
    return a;
  }
  __device__ static __forceinline__ void multiply(float (&d)[4], const A& a, const B& b) {
    multiply_tf32(d, a.low, b.high);
    multiply_tf32(d, a.high, b.low);
    multiply_tf32(d, a.high, b.high);
  }
  __device__ static __forceinline__ void store_pair(float* to, float first, float second) {
    store_pack(to, Pack<float, 2>{first, second});
  }

 private:
  __device__ static __forceinline__ void split(float x, uint32_t& high, uint32_t& low) {
    high = round_tf32(x);
    low = round_tf32(x - __uint_as_float(high));
  }
};

// Sums (16, 16·N) += a (16, K) · bᵀ, with a(m, k) at a[m · pitch + k] and b(n, k) at b[n · pitch + k].
template <class T, int N, int K>
__device__ __forceinline__ void add_product(float (&sums)[2 * N][4], const T* a, const T* b, int pitch) {
  using F = Fragments<T>;
#pragma unroll 2
  for (int k = 0; k < K; k += F::depth) {
    const auto fa = F::load_a(a + k, pitch);
#pragma unroll
    for (int n = 0; n < N; ++n) {
      typename F::B fb[2];
      F::load_b(fb, b + 16 * n * pitch + k, pitch);
      F::multiply(sums[2 * n], fa, fb[0]);
      F::multiply(sums[2 * n + 1], fa, fb[1]);
    }
  }
}

// Copies rows [0, rows) of `columns` elements, `stride` apart, into a tile of `pitch`, with zeros from row `valid` and
// column `width` on. Rows and widths are multiples of 16 bytes. The caller commits and waits.
template <class T, int columns, int threads>
__device__ __forceinline__ void begin_tile(T* tile, int pitch, const T* from, int64_t stride, int rows, int64_t valid,
                                           int64_t width) {
  constexpr int N = 16 / sizeof(T), per_row = columns / N, at_once = threads / per_row;
  static_assert(threads % per_row == 0, "a thread stays in its column");
  const int first = threadIdx.x / per_row, column = threadIdx.x % per_row * N;
  const int end = column >= width ? 0 : valid < rows ? static_cast<int>(valid) : rows;
  T* to = tile + first * pitch + column;
  from += first * stride + column;
#pragma unroll
  for (int n = 0; n < rows; n += at_once, to += at_once * pitch, from += at_once * stride)
    if (rows % at_once == 0 || first + n < rows) begin_copy<16>(to, from, first + n < end);  // reads nothing beyond
}

}  // namespace gestalt::kernels::cuda
