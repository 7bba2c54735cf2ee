// Moving rows on CUDA. Where rows meet they are first sorted by their index, so that the order of a sum never changes.
#include "kernels/tokens.h"

#include <cmath>

#include "kernels/cuda/vector.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;

// Calls f(row) for each row, a warp a row.
template <class F>
__device__ __forceinline__ void each_row(int64_t rows, F&& f) {
  for (int64_t i = blockIdx.x * int64_t{warps} + threadIdx.x / 32; i < rows; i += int64_t{gridDim.x} * warps) f(i);
}
unsigned row_grid(int64_t rows) { return blocks_for(rows * 32, threads); }

// Writes f(column) to a row of y, N columns a lane at once.
template <int N, class Y, class F>
__device__ __forceinline__ void write_row(Y* y, int64_t columns, F&& f) {
  for (int64_t c = threadIdx.x % 32 * N; c < columns; c += 32 * N) store_pack(y + c, f(c));
}

template <class Y, int N, class X>
__device__ __forceinline__ Pack<Y, N> converted(const X* x) {
  const auto in = load_pack<Pack<X, N>>(x);
  Pack<Y, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out.v[j] = static_cast<Y>(static_cast<float>(in.v[j]));
  return out;
}

template <class Y, int N>
__device__ __forceinline__ Pack<Y, N> constant(float value) {
  Pack<Y, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out.v[j] = static_cast<Y>(value);
  return out;
}

// An index out of range, which nothing can report from here, makes a row of NaN.
template <int N, class X, class Y>
__global__ void __launch_bounds__(threads) gather_kernel(const X* x, const int32_t* index, Y* y, TokenPick p) {
  each_row(p.batch * p.picked, [&](int64_t i) {
    const int32_t at = index[i];
    const X* from = x + (i / p.picked * p.length + at) * p.columns;
    const bool valid = at >= 0 && at < p.length;
    write_row<N>(y + i * p.columns, p.columns,
                 [&](int64_t c) { return valid ? converted<Y, N>(from + c) : constant<Y, N>(NAN); });
  });
}

// The row that pick i goes to, or −1.
__device__ __forceinline__ int64_t row_of(const int32_t* index, int64_t i, const TokenPick& p) {
  const int32_t at = index[i];
  return at >= 0 && at < p.length ? i / p.picked * p.length + at : -1;
}

__global__ void __launch_bounds__(threads) clear_kernel(ScatterSort s) {
  grid_stride(s.rows, [&](int64_t r) { s.count[r] = 0; });
  if (blockIdx.x == 0 && threadIdx.x < 2) s.used[threadIdx.x] = 0;
}

__global__ void __launch_bounds__(threads) count_kernel(const int32_t* index, ScatterSort s, TokenPick p) {
  grid_stride(s.picks, [&](int64_t i) {
    const int64_t r = row_of(index, i, p);
    if (r >= 0) atomicAdd(&s.count[r], 1);
  });
}

// Gives each row its place in `order`. Which place depends on timing, but nothing else does.
__global__ void __launch_bounds__(threads) reserve_kernel(ScatterSort s) {
  const int lane = threadIdx.x % 32;
  for (int64_t base = blockIdx.x * int64_t{threads}; base < s.rows; base += int64_t{gridDim.x} * threads) {
    const int64_t r = base + threadIdx.x;
    const int n = r < s.rows ? s.count[r] : 0;
    int before = n;  // becomes the sum over the lanes up to this one
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int lower = __shfl_up_sync(full_warp, before, step);
      if (lane >= step) before += lower;
    }
    int start = 0;
    if (lane == 31) start = atomicAdd(&s.used[0], before);
    start = __shfl_sync(full_warp, start, 31);
    if (r < s.rows) s.end[r] = start + before - n;  // the start for now
    if (n > ScatterSort::many) s.crowded[atomicAdd(&s.used[1], 1)] = static_cast<int32_t>(r);
  }
}

__global__ void __launch_bounds__(threads) place_kernel(const int32_t* index, ScatterSort s, TokenPick p) {
  grid_stride(s.picks, [&](int64_t i) {
    const int64_t r = row_of(index, i, p);
    if (r >= 0) s.unsorted[atomicAdd(&s.end[r], 1)] = static_cast<int32_t>(i);
  });
}

// Puts the picks of a row in their order: each counts those before it.
__global__ void __launch_bounds__(threads) order_kernel(const int32_t* index, ScatterSort s, TokenPick p) {
  grid_stride(s.picks, [&](int64_t i) {
    const int64_t r = row_of(index, i, p);
    if (r < 0) return;
    const int32_t end = s.end[r], begin = end - s.count[r];
    int rank = 0;
    for (int32_t j = begin; j < end; ++j) rank += s.unsorted[j] < i;
    s.order[begin + rank] = static_cast<int32_t>(i);
  });
}

template <int N, class X>
__device__ __forceinline__ void add_pack(float (&sum)[N], const X* x) {
  const auto pack = load_pack<Pack<X, N>>(x);
#pragma unroll
  for (int j = 0; j < N; ++j) sum[j] += static_cast<float>(pack.v[j]);
}

template <class Y, int N>
__device__ __forceinline__ Pack<Y, N> rounded(const float (&sum)[N]) {
  Pack<Y, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out.v[j] = static_cast<Y>(sum[j]);
  return out;
}

// Rows of y with up to ScatterSort::many picks, a warp each.
template <int N, class X, class Y>
__global__ void __launch_bounds__(threads) scatter_kernel(const X* x, Y* y, ScatterSort s, int64_t columns) {
  each_row(s.rows, [&](int64_t r) {
    const int n = s.count[r];
    if (n > ScatterSort::many) return;
    const int32_t* order = s.order + s.end[r] - n;
    write_row<N>(y + r * columns, columns, [&](int64_t c) {
      float sum[N] = {};
      for (int k = 0; k < n; ++k) add_pack(sum, x + order[k] * columns + c);
      return rounded<Y>(sum);
    });
  });
}

constexpr int crowd_warps = 32;

// A block takes 32·N columns of a crowded row at a time, each warp every 32nd pick.
template <int N, class X, class Y>
__global__ void __launch_bounds__(32 * crowd_warps)
    scatter_crowded_kernel(const X* x, Y* y, ScatterSort s, int64_t columns) {
  GESTALT_SHARED(float, sums, [crowd_warps][32 * N]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t tiles = (columns + 32 * N - 1) / (32 * N);
  for (int64_t item = blockIdx.x; item < s.used[1] * tiles; item += gridDim.x) {
    const int64_t r = s.crowded[item / tiles], first = item % tiles * 32 * N, c = first + lane * N;
    const int n = s.count[r];
    const int32_t* order = s.order + s.end[r] - n;
    float sum[N] = {};
    if (c < columns)
#pragma unroll 4
      for (int k = warp; k < n; k += crowd_warps) add_pack(sum, x + order[k] * columns + c);
#pragma unroll
    for (int j = 0; j < N; ++j) sums[warp][lane * N + j] = sum[j];
    __syncthreads();
    for (int t = threadIdx.x; t < 32 * N; t += 32 * crowd_warps) {
      float total = 0;
#pragma unroll
      for (int w = 0; w < crowd_warps; ++w) total += sums[w][t];
      if (first + t < columns) y[r * columns + first + t] = static_cast<Y>(total);
    }
    __syncthreads();
  }
}

// The pick that names row i of (batch, length), or −1. All lanes of a warp ask together.
__device__ __forceinline__ int64_t pick_of(const int32_t* index, int64_t i, const TokenPick& p) {
  const int64_t first = i / p.length * p.picked;
  const auto position = static_cast<int32_t>(i % p.length);
  for (int64_t k = 0; k < p.picked; k += 32) {
    const int64_t mine = k + threadIdx.x % 32;
    const unsigned named = __ballot_sync(full_warp, mine < p.picked && index[first + mine] == position);
    if (named) return first + k + __ffs(static_cast<int>(named)) - 1;
  }
  return -1;
}

template <int N, class T>
__global__ void __launch_bounds__(threads)
    fill_rows_kernel(const T* x, const int32_t* index, const float* fill, T* y, TokenPick p) {
  each_row(p.batch * p.length, [&](int64_t i) {
    const int64_t pick = pick_of(index, i, p);
    write_row<N>(y + i * p.columns, p.columns, [&](int64_t c) {
      return pick >= 0 ? load_pack<Pack<T, N>>(x + pick * p.columns + c) : converted<T, N>(fill + c);
    });
  });
}

template <int N, class X, class Y>
__global__ void __launch_bounds__(threads)
    replace_rows_kernel(const X* x, const int32_t* mask, const float* fill, Y* y, ReplaceRows k) {
  each_row(k.rows, [&](int64_t i) {
    const bool kept = mask[i] != k.replaced;
    write_row<N>(y + i * k.columns, k.columns, [&](int64_t c) {
      if (kept) return converted<Y, N>(x + i * k.columns + c);
      return fill ? converted<Y, N>(fill + c) : constant<Y, N>(0);
    });
  });
}

// Each block sums dy over a range of rows that no pick names, 32·N columns of it.
template <int N, class T>
__global__ void __launch_bounds__(threads)
    fill_sums_kernel(const T* dy, const int32_t* index, float* partial, int64_t rows_per_part, TokenPick p) {
  GESTALT_SHARED(float, sums, [warps][32 * N]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t rows = p.batch * p.length, begin = blockIdx.y * rows_per_part;
  const int64_t end = begin + rows_per_part < rows ? begin + rows_per_part : rows;
  const int64_t first = blockIdx.x * int64_t{32} * N, c = first + lane * N;
  float sum[N] = {};
  for (int64_t i = begin + warp; i < end; i += warps)
    if (pick_of(index, i, p) < 0 && c < p.columns) add_pack(sum, dy + i * p.columns + c);
#pragma unroll
  for (int j = 0; j < N; ++j) sums[warp][lane * N + j] = sum[j];
  __syncthreads();
  for (int t = threadIdx.x; t < 32 * N; t += threads) {
    float total = 0;
#pragma unroll
    for (int w = 0; w < warps; ++w) total += sums[w][t];
    if (first + t < p.columns) partial[blockIdx.y * p.columns + first + t] = total;
  }
}

__global__ void __launch_bounds__(threads)
    join_parts_kernel(const float* partial, float* y, int parts, int64_t columns) {
  grid_stride(columns, [&](int64_t c) {
    float sum = 0;
#pragma unroll 8
    for (int s = 0; s < parts; ++s) sum += partial[s * columns + c];
    y[c] = sum;
  });
}

template <int N, class X, class Y>
__global__ void __launch_bounds__(threads) copy_blocks_kernel(const X* x, Y* y, CopyBlocks k) {
  const int64_t packs = k.count / N, stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t b = blockIdx.y; b < k.batch; b += gridDim.y)
    for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < packs; i += stride)
      store_pack(y + b * k.y_stride + i * N, converted<Y, N>(x + b * k.x_stride + i * N));
}

// Calls f(X{}, Y{}, integral constant of N) with N elements of the wider type filling 16 bytes, or N = 1.
template <class F>
void dispatch_pair(DType x, DType y, bool wide, F&& f) {
  dispatch_cuda(x, [&](auto tx) {
    dispatch_cuda(y, [&](auto ty) {
      constexpr int N = 16 / std::max(sizeof(tx), sizeof(ty));
      if (wide)
        f(tx, ty, std::integral_constant<int, N>());
      else
        f(tx, ty, std::integral_constant<int, 1>());
    });
  });
}

constexpr int widest = 8;  // a multiple of every N above

}  // namespace

void run(const GatherRows& k, Stream stream) {
  const TokenPick& p = k.pick;
  const bool wide = p.columns % widest == 0 && aligned16(k.x.data, k.y.data);
  dispatch_pair(k.x.dtype, k.y.dtype, wide, [&](auto tx, auto ty, auto n) {
    using X = decltype(tx);
    using Y = decltype(ty);
    launch_kernel(gather_kernel<n, X, Y>, row_grid(p.batch * p.picked), threads, 0, stream, k.x.as<X>(),
                  k.index.as<int32_t>(), k.y.as<Y>(), p);
  });
}

void run(const ScatterRows& k, Stream stream) {
  const TokenPick& p = k.pick;
  const int32_t* index = k.index.as<int32_t>();
  Scratch memory(stream.scratch);
  const ScatterSort s(memory, p);
  check(std::max(s.rows, s.picks) < (int64_t{1} << 31), "[scatter_rows] got {} picks into {} rows, expected below 2³¹",
        s.picks, s.rows);
  const unsigned over_picks = blocks_for(s.picks, threads), over_rows = blocks_for(s.rows, threads);
  launch_kernel(clear_kernel, over_rows, threads, 0, stream, s);
  launch_kernel(count_kernel, over_picks, threads, 0, stream, index, s, p);
  launch_kernel(reserve_kernel, over_rows, threads, 0, stream, s);
  launch_kernel(place_kernel, over_picks, threads, 0, stream, index, s, p);
  launch_kernel(order_kernel, over_picks, threads, 0, stream, index, s, p);
  const bool wide = p.columns % widest == 0 && aligned16(k.x.data, k.y.data);
  dispatch_pair(k.x.dtype, k.y.dtype, wide, [&](auto tx, auto ty, auto n) {
    using X = decltype(tx);
    using Y = decltype(ty);
    launch_kernel(scatter_kernel<n, X, Y>, row_grid(s.rows), threads, 0, stream, k.x.as<X>(), k.y.as<Y>(), s,
                  p.columns);
    if (s.picks > ScatterSort::many)
      launch_kernel(scatter_crowded_kernel<n, X, Y>, multiprocessors() * 2, 32 * crowd_warps, 0, stream, k.x.as<X>(),
                    k.y.as<Y>(), s, p.columns);
  });
}

void run(const FillRows& k, Stream stream) {
  const TokenPick& p = k.pick;
  const bool wide = p.columns % widest == 0 && aligned16(k.x.data, k.fill.data, k.y.data);
  dispatch_pack(k.x.dtype, wide, [&](auto tag, auto n) {
    using T = decltype(tag);
    launch_kernel(fill_rows_kernel<n, T>, row_grid(p.batch * p.length), threads, 0, stream, k.x.as<T>(),
                  k.index.as<int32_t>(), k.fill.as<float>(), k.y.as<T>(), p);
  });
}

void run(const FillRowsBackward& k, Stream stream) {
  const TokenPick& p = k.pick;
  const int64_t rows = std::max<int64_t>(1, p.batch * p.length);
  const int64_t rows_per_part = divide_up(rows, fill_rows_parts(p)), parts = divide_up(rows, rows_per_part);
  auto* partial = static_cast<float*>(stream.scratch);
  const bool wide = p.columns % widest == 0 && aligned16(k.dy.data);
  dispatch_pack(k.dy.dtype, wide, [&](auto tag, auto n) {
    using T = decltype(tag);
    launch_kernel(fill_sums_kernel<n, T>, dim3(static_cast<unsigned>(divide_up(p.columns, 32 * n)), parts), threads, 0,
                  stream, k.dy.as<T>(), k.index.as<int32_t>(), partial, rows_per_part, p);
  });
  launch_kernel(join_parts_kernel, blocks_for(p.columns, threads), threads, 0, stream, partial, k.dfill.as<float>(),
                static_cast<int>(parts), p.columns);
}

void run(const ReplaceRows& k, Stream stream) {
  const bool wide = k.columns % widest == 0 && aligned16(k.x.data, k.fill.data, k.y.data);
  dispatch_pair(k.x.dtype, k.y.dtype, wide, [&](auto tx, auto ty, auto n) {
    using X = decltype(tx);
    using Y = decltype(ty);
    launch_kernel(replace_rows_kernel<n, X, Y>, row_grid(k.rows), threads, 0, stream, k.x.as<X>(), k.mask.as<int32_t>(),
                  k.fill.as<float>(), k.y.as<Y>(), k);
  });
}

void run(const CopyBlocks& k, Stream stream) {
  if (k.batch * k.count == 0) return;
  const char* first_x = static_cast<const char*>(k.x.data) + k.x_offset * size_of(k.x.dtype);
  const char* first_y = static_cast<const char*>(k.y.data) + k.y_offset * size_of(k.y.dtype);
  const bool wide =
      k.count % widest == 0 && k.x_stride % widest == 0 && k.y_stride % widest == 0 && aligned16(first_x, first_y);
  dispatch_pair(k.x.dtype, k.y.dtype, wide, [&](auto tx, auto ty, auto n) {
    using X = decltype(tx);
    using Y = decltype(ty);
    const int block = static_cast<int>(std::min<int64_t>(threads, divide_up(k.count / n, 32) * 32));
    const dim3 grid(blocks_for(k.count / n, block), static_cast<unsigned>(std::min<int64_t>(k.batch, 65535)));
    launch_kernel(copy_blocks_kernel<n, X, Y>, grid, block, 0, stream, k.x.as<X>() + k.x_offset,
                  k.y.as<Y>() + k.y_offset, k);
  });
}

}  // namespace gestalt::kernels::cuda
