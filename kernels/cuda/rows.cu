// Row kernels on CUDA: a warp or a block takes a row, reads it once and keeps it in registers.
#include "kernels/rows.h"

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/rows.cuh"

namespace gestalt::kernels::cuda {
namespace {

template <class S>
__device__ __forceinline__ int64_t this_row() {
  return int64_t{blockIdx.x} * S::Rows + S::slot();
}

// h = x + residual where there is one, y = gamma · (h − mean) · inv_std + beta.
template <class S, class T>
__global__ void __launch_bounds__(row_threads)
    layer_norm_kernel(const T* x, const T* residual, const float* gamma, const float* beta, T* sum, T* y, float* mean,
                      float* inv_std, int64_t rows, int columns, float eps) {
  constexpr int N = S::N;
  const int64_t i = this_row<S>(), start = i * columns;
  if (i >= rows) return;
  if (residual)
    S::each(columns, [&](int, int column) {
      auto h = load_pack<Pack<T, N>>(x + start + column);
      const auto r = load_pack<Pack<T, N>>(residual + start + column);
#pragma unroll
      for (int j = 0; j < N; ++j) h.v[j] = static_cast<T>(static_cast<float>(h.v[j]) + static_cast<float>(r.v[j]));
      store_pack(sum + start + column, h);
    });
  // Each thread reads back what it has just written, from the first cache.
  const Row<T, S> h((residual ? sum : x) + start, columns);
  float total = 0, squares = 0;
  S::each(columns, [&](int p, int column) {
    const auto pack = h.at(p, column);
#pragma unroll
    for (int j = 0; j < N; ++j) total += static_cast<float>(pack.v[j]);
  });
  const float centre = S::sum(total) / static_cast<float>(columns);
  S::each(columns, [&](int p, int column) {
    const auto pack = h.at(p, column);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float d = static_cast<float>(pack.v[j]) - centre;
      squares += d * d;
    }
  });
  const float scale = 1 / sqrtf(S::sum(squares) / static_cast<float>(columns) + eps);
  if (S::thread() == 0) {
    mean[i] = centre;
    inv_std[i] = scale;
  }
  S::each(columns, [&](int p, int column) {
    const auto pack = h.at(p, column);
    const auto g = load_pack<Pack<float, N>>(gamma + column), b = load_pack<Pack<float, N>>(beta + column);
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j)
      out.v[j] = static_cast<T>((static_cast<float>(pack.v[j]) - centre) * scale * g.v[j] + b.v[j]);
    store_pack(y + start + column, out);
  });
}

// What a row's layer norm gradient is made of: dx = inv_std · (dy·gamma − sum − unit·product).
template <class S, class T>
struct NormGradient {
  const Row<T, S> h, dy;
  float mean, inv_std, sum = 0, product = 0;  // means of g and of g·unit, g = dy·gamma, unit = (h − mean) · inv_std

  __device__ __forceinline__ NormGradient(const T* h, const T* dy, const float* gamma, float mean, float inv_std,
                                          int columns)
      : h(h, columns), dy(dy, columns), mean(mean), inv_std(inv_std) {
    S::each(columns, [&](int p, int column) {
      const auto a = this->h.at(p, column), d = this->dy.at(p, column);
      const auto scale = load_pack<Pack<float, S::N>>(gamma + column);
#pragma unroll
      for (int j = 0; j < S::N; ++j) {
        const float g = static_cast<float>(d.v[j]) * scale.v[j];
        sum += g;
        product += g * unit(static_cast<float>(a.v[j]));
      }
    });
    sum = S::sum(sum) / static_cast<float>(columns);
    product = S::sum(product) / static_cast<float>(columns);
  }
  __device__ __forceinline__ float unit(float value) const { return (value - mean) * inv_std; }

  __device__ __forceinline__ void store(T* dx, const T* dsum, const float* gamma, int columns) const {
    S::each(columns, [&](int p, int column) {
      const auto a = h.at(p, column), d = dy.at(p, column);
      const auto scale = load_pack<Pack<float, S::N>>(gamma + column);
      Pack<T, S::N> more, out;
      if (dsum) more = load_pack<Pack<T, S::N>>(dsum + column);
#pragma unroll
      for (int j = 0; j < S::N; ++j) {
        const float g = static_cast<float>(d.v[j]) * scale.v[j];
        const float gradient = inv_std * (g - sum - unit(static_cast<float>(a.v[j])) * product);
        out.v[j] = static_cast<T>(dsum ? gradient + static_cast<float>(more.v[j]) : gradient);
      }
      store_pack(dx + column, out);
    });
  }
};

// Sums the block's rows of dgamma and dbeta, held by warps in packs, into this block's part.
template <class S>
__device__ __forceinline__ void store_part(const float (&held)[S::Packs][S::N], float* part, int columns) {
  if constexpr (S::Rows == 1) {
    S::each(columns, [&](int p, int column) {
#pragma unroll
      for (int j = 0; j < S::N; ++j) part[column + j] = held[p][j];
    });
  } else {
    GESTALT_SHARED(float, sums, [S::Rows][32 * S::N]);
#pragma unroll
    for (int p = 0; p < S::Packs; ++p) {
#pragma unroll
      for (int j = 0; j < S::N; ++j) sums[S::slot()][S::thread() * S::N + j] = held[p][j];
      __syncthreads();
      for (int t = threadIdx.x; t < 32 * S::N; t += row_threads) {
        float total = 0;
#pragma unroll
        for (int w = 0; w < S::Rows; ++w) total += sums[w][t];
        if (p * 32 * S::N + t < columns) part[p * 32 * S::N + t] = total;
      }
      __syncthreads();
    }
  }
}

// Elements of a row that a thread of the backward pass may hold and leave room for a second block on its
// multiprocessor, which loads its rows while the first one sums.
constexpr int held_by_two = 24;

// dx, and in the same pass over memory each block's part of dgamma and dbeta.
template <class S, class T>
__global__ void __launch_bounds__(row_threads, S::Packs* S::N <= held_by_two ? 2 : 1)
    layer_norm_backward_kernel(const T* h, const T* dy, const T* dsum, const float* gamma, const float* mean,
                               const float* inv_std, T* dx, float* partial, int64_t rows, int columns) {
  constexpr int N = S::N, P = S::Packs;
  float dgamma[P][N] = {}, dbeta[P][N] = {};
  for (int64_t i = this_row<S>(); i < rows; i += int64_t{gridDim.x} * S::Rows) {
    const int64_t start = i * columns;
    const NormGradient<S, T> row(h + start, dy + start, gamma, mean[i], inv_std[i], columns);
    S::each(columns, [&](int p, int column) {
      const auto a = row.h.at(p, column), d = row.dy.at(p, column);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        dgamma[p][j] += static_cast<float>(d.v[j]) * row.unit(static_cast<float>(a.v[j]));
        dbeta[p][j] += static_cast<float>(d.v[j]);
      }
    });
    row.store(dx + start, dsum ? dsum + start : nullptr, gamma, columns);
  }
  float* part = partial + int64_t{blockIdx.x} * 2 * columns;
  store_part<S>(dgamma, part, columns);
  store_part<S>(dbeta, part + columns, columns);
}

// For rows that registers do not hold: dx alone, …
template <class S, class T>
__global__ void __launch_bounds__(row_threads)
    layer_norm_dx_kernel(const T* h, const T* dy, const T* dsum, const float* gamma, const float* mean,
                         const float* inv_std, T* dx, int64_t rows, int columns) {
  const int64_t i = this_row<S>(), start = i * columns;
  if (i >= rows) return;
  const NormGradient<S, T> row(h + start, dy + start, gamma, mean[i], inv_std[i], columns);
  row.store(dx + start, dsum ? dsum + start : nullptr, gamma, columns);
}

// … and each part of dgamma and dbeta.
template <class T>
__global__ void __launch_bounds__(column_threads)
    layer_norm_parameters_kernel(const T* h, const T* dy, const float* mean, const float* inv_std, float* partial,
                                 int64_t rows, int64_t columns) {
  const int64_t column = first_column<1>();
  float sums[2] = {};
  if (column < columns)
    for (int64_t i = blockIdx.y * int64_t{blockDim.y} + threadIdx.y; i < rows; i += int64_t{gridDim.y} * blockDim.y) {
      const float d = static_cast<float>(dy[i * columns + column]);
      sums[0] += d * (static_cast<float>(h[i * columns + column]) - mean[i]) * inv_std[i];
      sums[1] += d;
    }
  sum_over_height(sums);
  if (threadIdx.y != 0 || column >= columns) return;
  float* part = partial + blockIdx.y * 2 * columns + column;
  part[0] = sums[0];
  part[columns] = sums[1];
}

template <class S, class T>
__global__ void __launch_bounds__(row_threads) softmax_kernel(const T* x, T* y, int64_t rows, int columns, bool log) {
  const int64_t i = this_row<S>(), start = i * columns;
  if (i >= rows) return;
  const Row<T, S> row(x + start, columns);
  float most = -INFINITY, sum = 0;
  S::each(columns, [&](int p, int column) {
    const auto pack = row.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) most = fmaxf(most, static_cast<float>(pack.v[j]));
  });
  most = S::most(most);
  S::each(columns, [&](int p, int column) {
    const auto pack = row.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) sum += __expf(static_cast<float>(pack.v[j]) - most);
  });
  sum = S::sum(sum);
  const float share = 1 / sum, shift = most + logf(sum);
  S::each(columns, [&](int p, int column) {
    auto pack = row.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) {
      const float v = static_cast<float>(pack.v[j]);
      pack.v[j] = static_cast<T>(log ? v - shift : __expf(v - most) * share);
    }
    store_pack(y + start + column, pack);
  });
}

template <class S, class T>
__global__ void __launch_bounds__(row_threads)
    softmax_backward_kernel(const T* y, const T* dy, T* dx, int64_t rows, int columns, bool log) {
  const int64_t i = this_row<S>(), start = i * columns;
  if (i >= rows) return;
  const Row<T, S> out(y + start, columns), grad(dy + start, columns);
  float sum = 0;
  S::each(columns, [&](int p, int column) {
    const auto a = out.at(p, column), d = grad.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) sum += static_cast<float>(d.v[j]) * (log ? 1.0f : static_cast<float>(a.v[j]));
  });
  sum = S::sum(sum);
  S::each(columns, [&](int p, int column) {
    const auto a = out.at(p, column);
    auto d = grad.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) {
      const float v = static_cast<float>(a.v[j]), g = static_cast<float>(d.v[j]);
      d.v[j] = static_cast<T>(log ? g - __expf(v) * sum : v * (g - sum));
    }
    store_pack(dx + start + column, d);
  });
}

template <class S, class T>
__global__ void __launch_bounds__(row_threads)
    normalize_kernel(const T* x, T* y, float* inv_norm, int64_t rows, int columns, float eps) {
  const int64_t i = this_row<S>(), start = i * columns;
  if (i >= rows) return;
  const Row<T, S> row(x + start, columns);
  float squares = 0;
  S::each(columns, [&](int p, int column) {
    const auto pack = row.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) squares += static_cast<float>(pack.v[j]) * static_cast<float>(pack.v[j]);
  });
  const float inv = 1 / fmaxf(sqrtf(S::sum(squares)), eps);
  if (S::thread() == 0) inv_norm[i] = inv;
  S::each(columns, [&](int p, int column) {
    auto pack = row.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) pack.v[j] = static_cast<T>(static_cast<float>(pack.v[j]) * inv);
    store_pack(y + start + column, pack);
  });
}

template <class S, class T>
__global__ void __launch_bounds__(row_threads) normalize_backward_kernel(const T* y, const T* dy, const float* inv_norm,
                                                                         T* dx, int64_t rows, int columns, float eps) {
  const int64_t i = this_row<S>(), start = i * columns;
  if (i >= rows) return;
  const Row<T, S> out(y + start, columns), grad(dy + start, columns);
  float along = 0;
  S::each(columns, [&](int p, int column) {
    const auto a = out.at(p, column), d = grad.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j) along += static_cast<float>(a.v[j]) * static_cast<float>(d.v[j]);
  });
  const float inv = inv_norm[i];
  along = S::sum(along);
  if (inv >= 1 / eps) along = 0;  // shorter than eps: only scaled
  S::each(columns, [&](int p, int column) {
    const auto a = out.at(p, column);
    auto d = grad.at(p, column);
#pragma unroll
    for (int j = 0; j < S::N; ++j)
      d.v[j] = static_cast<T>(inv * (static_cast<float>(d.v[j]) - static_cast<float>(a.v[j]) * along));
    store_pack(dx + start + column, d);
  });
}

template <class S, class T>
void layer_norm_backward(const LayerNormBackward& k, Stream stream, S shape) {
  const T *h = k.h.as<T>(), *dy = k.dy.as<T>(), *dsum = k.dsum.as<T>();
  const float *gamma = k.gamma.as<float>(), *mean = k.mean.as<float>(), *inv_std = k.inv_std.as<float>();
  T* dx = k.dx.as<T>();
  auto* partial = static_cast<float*>(stream.scratch);
  const int parts = static_cast<int>(layer_norm_parts(k.rows));
  if constexpr (S::Packs > 0) {
    launch_kernel(layer_norm_backward_kernel<S, T>, parts, row_threads, 0, stream, h, dy, dsum, gamma, mean, inv_std,
                  dx, partial, k.rows, k.columns);
  } else {
    const ColumnGrid grid(k.columns, 1);
    launch_kernel(layer_norm_dx_kernel<S, T>, row_blocks(shape, k.rows), row_threads, 0, stream, h, dy, dsum, gamma,
                  mean, inv_std, dx, k.rows, k.columns);
    launch_kernel(layer_norm_parameters_kernel<T>, dim3(grid.tiles, parts), grid.block(), 0, stream, h, dy, mean,
                  inv_std, partial, k.rows, k.columns);
  }
  join_pairs(stream, partial, parts, k.columns, k.dgamma.as<float>(), k.dbeta.as<float>());
}

}  // namespace

void run(const LayerNorm& k, Stream stream) {
  const bool aligned = aligned16(k.x.data, k.residual.data, k.gamma.data, k.beta.data, k.sum.data, k.y.data);
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    dispatch_row<T>(k.columns, aligned, [&](auto shape) {
      launch_kernel(layer_norm_kernel<decltype(shape), T>, row_blocks(shape, k.rows), row_threads, 0, stream,
                    k.x.as<T>(), k.residual.as<T>(), k.gamma.as<float>(), k.beta.as<float>(), k.sum.as<T>(),
                    k.y.as<T>(), k.mean.as<float>(), k.inv_std.as<float>(), k.rows, k.columns, k.eps);
    });
  });
}

void run(const LayerNormBackward& k, Stream stream) {
  const bool aligned = aligned16(k.h.data, k.dy.data, k.dsum.data, k.gamma.data, k.dx.data);
  dispatch_cuda(k.h.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int N = 16 / sizeof(T);
    if (aligned && k.columns % N == 0 && k.columns <= 32 * held_by_two)
      return layer_norm_backward<RowShape<N, held_by_two / N, 32>, T>(k, stream, {});
    dispatch_row<T>(k.columns, aligned, [&](auto shape) { layer_norm_backward<decltype(shape), T>(k, stream, shape); });
  });
}

void run(const Softmax& k, Stream stream) {
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    dispatch_row<T>(k.columns, aligned16(k.x.data, k.y.data), [&](auto shape) {
      launch_kernel(softmax_kernel<decltype(shape), T>, row_blocks(shape, k.rows), row_threads, 0, stream, k.x.as<T>(),
                    k.y.as<T>(), k.rows, k.columns, k.log);
    });
  });
}

void run(const SoftmaxBackward& k, Stream stream) {
  dispatch_cuda(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    dispatch_row<T>(k.columns, aligned16(k.y.data, k.dy.data, k.dx.data), [&](auto shape) {
      launch_kernel(softmax_backward_kernel<decltype(shape), T>, row_blocks(shape, k.rows), row_threads, 0, stream,
                    k.y.as<T>(), k.dy.as<T>(), k.dx.as<T>(), k.rows, k.columns, k.log);
    });
  });
}

void run(const Normalize& k, Stream stream) {
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    dispatch_row<T>(k.columns, aligned16(k.x.data, k.y.data), [&](auto shape) {
      launch_kernel(normalize_kernel<decltype(shape), T>, row_blocks(shape, k.rows), row_threads, 0, stream,
                    k.x.as<T>(), k.y.as<T>(), k.inv_norm.as<float>(), k.rows, k.columns, k.eps);
    });
  });
}

void run(const NormalizeBackward& k, Stream stream) {
  dispatch_cuda(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    dispatch_row<T>(k.columns, aligned16(k.y.data, k.dy.data, k.dx.data), [&](auto shape) {
      launch_kernel(normalize_backward_kernel<decltype(shape), T>, row_blocks(shape, k.rows), row_threads, 0, stream,
                    k.y.as<T>(), k.dy.as<T>(), k.inv_norm.as<float>(), k.dx.as<T>(), k.rows, k.columns, k.eps);
    });
  });
}

}  // namespace gestalt::kernels::cuda
