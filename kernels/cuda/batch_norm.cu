// Batch normalisation on CUDA: channels in registers, rows in sweeps over memory, partial results joined in fixed
// order.
#include "kernels/batch_norm.h"

#include "kernels/cuda/columns.cuh"

namespace gestalt::kernels::cuda {
namespace {

// Split s of a reduction takes every `splits`-th group of `height` rows from the s-th on, so that all splits together
// sweep memory from front to back. What follows sweeps back to front and finds the last rows still in the cache.
struct Sweep {
  int64_t rows;
  int height, splits;
  int least, longer;  // groups that every split takes, and splits that take one more
  int last, missing;  // the split of the last group, and the rows that this one lacks

  Sweep(const BatchNormSplit& split, const ColumnGrid& grid)
      : rows(split.rows),
        height(grid.height),
        splits(static_cast<int>(std::min(split.device_splits(), divide_up(split.rows, grid.height)))) {
    const int64_t groups = divide_up(rows, height);
    least = static_cast<int>(groups / splits);
    longer = static_cast<int>(groups % splits);
    last = static_cast<int>((groups - 1) % splits);
    missing = static_cast<int>(groups * height - rows);
  }

  __device__ int64_t first_row(int split) const { return int64_t{split} * height; }
  __device__ int64_t stride() const { return int64_t{splits} * height; }
  __device__ double rows_of(int split) const {
    const int64_t groups = least + (split < longer ? 1 : 0);
    return static_cast<double>(groups * height - (split == last ? missing : 0));
  }
};

// Mean and sum of squared deviations of each split, about its first row so that a large mean cancels early.
template <int N, class T>
__global__ void __launch_bounds__(column_threads)
    moments_kernel(const T* __restrict__ x, float* partial, int64_t channels, Sweep sweep) {
  const int split = blockIdx.y;
  const int64_t column = first_column<N>(), first = sweep.first_row(split);
  float shift[N] = {}, sums[2 * N] = {};
  if (column < channels) {
    const auto start = load_pack<Pack<T, N>>(x + first * channels + column);
#pragma unroll
    for (int j = 0; j < N; ++j) shift[j] = static_cast<float>(start.v[j]);
#pragma unroll 4
    for (int64_t i = first + threadIdx.y; i < sweep.rows; i += sweep.stride()) {
      const auto pack = load_pack<Pack<T, N>>(x + i * channels + column);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float d = static_cast<float>(pack.v[j]) - shift[j];
        sums[j] += d;
        sums[N + j] += d * d;
      }
    }
  }
  sum_over_height(sums);
  if (threadIdx.y != 0 || column >= channels) return;
  float* mean = partial + split * 2 * channels + column;
  const float share = 1 / static_cast<float>(sweep.rows_of(split));
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float step = sums[j] * share;
    mean[j] = shift[j] + step;
    mean[channels + j] = fmaxf(0.0f, sums[N + j] - sums[j] * step);
  }
}

struct Statistics {
  float *mean, *inv_std, *running_mean, *running_var;
  double eps, momentum;
};

// Joins the splits' moments into mean, inv_std and the running statistics (Chan et al. 1983).
__global__ void __launch_bounds__(column_threads)
    join_moments_kernel(const float* partial, Statistics to, int64_t channels, Sweep sweep) {
  const int64_t c = first_column<1>();
  const double rows = static_cast<double>(sweep.rows);
  double mean[1] = {}, squares[1] = {};
  if (c < channels)
#pragma unroll 4
    for (int s = threadIdx.y; s < sweep.splits; s += join_height)
      mean[0] += sweep.rows_of(s) * partial[2 * s * channels + c];
  sum_over_height(mean);
  mean[0] /= rows;
  if (c < channels)
#pragma unroll 4
    for (int s = threadIdx.y; s < sweep.splits; s += join_height) {
      const double delta = partial[2 * s * channels + c] - mean[0];
      squares[0] += partial[(2 * s + 1) * channels + c] + sweep.rows_of(s) * delta * delta;
    }
  sum_over_height(squares);
  if (c >= channels || threadIdx.y != 0) return;
  to.mean[c] = static_cast<float>(mean[0]);
  to.inv_std[c] = static_cast<float>(1 / sqrt(squares[0] / rows + to.eps));
  to.running_mean[c] = static_cast<float>((1 - to.momentum) * to.running_mean[c] + to.momentum * mean[0]);
  to.running_var[c] = static_cast<float>((1 - to.momentum) * to.running_var[c] + to.momentum * squares[0] / (rows - 1));
}

__global__ void __launch_bounds__(column_threads) running_statistics_kernel(Statistics to, int64_t channels) {
  grid_stride(channels, [&](int64_t c) {
    to.mean[c] = to.running_mean[c];
    to.inv_std[c] = static_cast<float>(1 / sqrt(static_cast<double>(to.running_var[c]) + to.eps));
  });
}

// Calls f(offset) for this thread's pack in every row, from the last row to the first.
template <int N, class F>
__device__ __forceinline__ void sweep_back(int64_t rows, int64_t channels, int64_t column, F&& f) {
  const int64_t stride = int64_t{gridDim.y} * blockDim.y;
#pragma unroll 2
  for (int64_t i = rows - 1 - (blockIdx.y * int64_t{blockDim.y} + threadIdx.y); i >= 0; i -= stride)
    f(i * channels + column);
}

// y = relu((x − mean) · gamma · inv_std + beta + residual).
template <int N, bool Residual, bool Relu, class T>
__global__ void __launch_bounds__(column_threads)
    apply_kernel(const T* __restrict__ x, const T* __restrict__ residual, const float* __restrict__ gamma,
                 const float* __restrict__ beta, const float* __restrict__ mean, const float* __restrict__ inv_std,
                 T* __restrict__ y, int64_t rows, int64_t channels) {
  const int64_t column = first_column<N>();
  if (column >= channels) return;
  float centre[N], scale[N], shift[N];
#pragma unroll
  for (int j = 0; j < N; ++j) {
    centre[j] = mean[column + j];
    scale[j] = gamma[column + j] * inv_std[column + j];
    shift[j] = beta[column + j];
  }
  sweep_back<N>(rows, channels, column, [&](int64_t at) {
    const auto in = load_pack<Pack<T, N>>(x + at);
    Pack<T, N> other, out;
    if constexpr (Residual) other = load_pack<Pack<T, N>>(residual + at);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      float v = (static_cast<float>(in.v[j]) - centre[j]) * scale[j] + shift[j];
      if constexpr (Residual) v += static_cast<float>(other.v[j]);
      if constexpr (Relu) v = v < 0 ? 0.0f : v;  // keeps NaN
      out.v[j] = static_cast<T>(v);
    }
    store_pack(y + at, out);
  });
}

// What the ReLU lets through: all, where there is none; y > 0 of the forward result; or of y computed anew, as
// apply_kernel computes it.
enum class Mask { none, stored, computed };

template <class T>
struct Operands {
  const T *x, *dy, *y;
  const float *gamma, *beta, *mean, *inv_std;
};

// A thread's channels: dy under the mask at one row, beside x.
template <Mask mask, int N, class T>
struct Masked {
  const Operands<T>& of;
  float centre[N], scale[N], shift[N];

  __device__ __forceinline__ Masked(const Operands<T>& of, int64_t column) : of(of) {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      centre[j] = of.mean[column + j];
      scale[j] = of.gamma[column + j] * of.inv_std[column + j];
      shift[j] = mask == Mask::computed ? of.beta[column + j] : 0.0f;
    }
  }
  __device__ __forceinline__ Pack<T, N> dy(int64_t at, const Pack<T, N>& x) const {
    auto g = load_pack<Pack<T, N>>(of.dy + at);
    Pack<T, N> out;
    if constexpr (mask == Mask::stored) out = load_pack<Pack<T, N>>(of.y + at);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      float y = 1;
      if constexpr (mask == Mask::stored) y = static_cast<float>(out.v[j]);
      if constexpr (mask == Mask::computed) y = (static_cast<float>(x.v[j]) - centre[j]) * scale[j] + shift[j];
      g.v[j] = y > 0 ? g.v[j] : T(0.0f);
    }
    return g;
  }
};

// Blocks on a multiprocessor: not so many that registers run out.
template <int N, Mask mask>
constexpr int at_once = N <= 4                   ? 5
                        : mask == Mask::computed ? 3
                                                 : 4;

// Σ dy and Σ dy·(x − mean) of each split, dy under the ReLU's mask.
template <int N, Mask mask, class T>
__global__ void __launch_bounds__(column_threads, at_once<N, mask>)
    gradient_sums_kernel(const __grid_constant__ Operands<T> of, float* partial, int64_t channels, Sweep sweep) {
  const int split = blockIdx.y;
  const int64_t column = first_column<N>();
  float sums[2 * N] = {};
  if (column < channels) {
    const Masked<mask, N, T> masked(of, column);
#pragma unroll 2
    for (int64_t i = sweep.first_row(split) + threadIdx.y; i < sweep.rows; i += sweep.stride()) {
      const int64_t at = i * channels + column;
      const auto in = load_pack<Pack<T, N>>(of.x + at);
      const auto g = masked.dy(at, in);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        sums[j] += static_cast<float>(g.v[j]);
        sums[N + j] += static_cast<float>(g.v[j]) * (static_cast<float>(in.v[j]) - masked.centre[j]);
      }
    }
  }
  sum_over_height(sums);
  if (threadIdx.y != 0 || column >= channels) return;
  float* sum = partial + split * 2 * channels + column;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    sum[j] = sums[j];
    sum[channels + j] = sums[N + j];
  }
}

// dx = gamma·inv_std·(dy − share·(dbeta + x̂·dgamma)), share being 1/rows or, in evaluation, 0. Also dresidual.
template <int N, Mask mask, class T>
__global__ void __launch_bounds__(column_threads, at_once<N, mask>)
    dx_kernel(const __grid_constant__ Operands<T> of, const float* __restrict__ dgamma, const float* __restrict__ dbeta,
              T* __restrict__ dx, T* __restrict__ dresidual, int64_t rows, int64_t channels, float share) {
  const int64_t column = first_column<N>();
  if (column >= channels) return;
  const Masked<mask, N, T> masked(of, column);
  float slope[N], constant[N];
#pragma unroll
  for (int j = 0; j < N; ++j) {
    slope[j] = dgamma[column + j] * share * of.inv_std[column + j];
    constant[j] = dbeta[column + j] * share - slope[j] * masked.centre[j];
  }
  sweep_back<N>(rows, channels, column, [&](int64_t at) {
    Pack<T, N> in{}, out;
    if (dx || mask == Mask::computed) in = load_pack<Pack<T, N>>(of.x + at);
    const auto g = masked.dy(at, in);
    if (dresidual) store_pack(dresidual + at, g);
    if (!dx) return;
#pragma unroll
    for (int j = 0; j < N; ++j)
      out.v[j] = static_cast<T>(masked.scale[j] *
                                (static_cast<float>(g.v[j]) - constant[j] - slope[j] * static_cast<float>(in.v[j])));
    store_pack(dx + at, out);
  });
}

// Blocks of a pass over all elements, which keep to their columns and share the rows.
dim3 whole(const ColumnGrid& grid, int64_t rows) {
  const int64_t most = std::max<int64_t>(1, int64_t{multiprocessors()} * 8 / grid.tiles);
  return dim3(grid.tiles, static_cast<unsigned>(std::min(divide_up(rows, grid.height), most)));
}

template <int N, class T>
void forward(const BatchNorm& k, Stream stream) {
  const BatchNormSplit split{k.rows, k.channels};
  const ColumnGrid grid(k.channels, N);
  const T *x = k.x.as<T>(), *residual = k.residual.as<T>();
  const Statistics statistics{
      k.mean.as<float>(), k.inv_std.as<float>(), k.running_mean.as<float>(), k.running_var.as<float>(), k.eps,
      k.momentum};
  if (k.training) {
    const Sweep sweep(split, grid);
    auto* partial = static_cast<float*>(stream.scratch);
    launch_kernel(moments_kernel<N, T>, dim3(grid.tiles, sweep.splits), grid.block(), 0, stream, x, partial, k.channels,
                  sweep);
    launch_kernel(join_moments_kernel, static_cast<unsigned>(divide_up(k.channels, join_width)),
                  dim3(join_width, join_height), 0, stream, partial, statistics, k.channels, sweep);
  } else {
    launch_kernel(running_statistics_kernel, blocks_for(k.channels, column_threads), column_threads, 0, stream,
                  statistics, k.channels);
  }
  auto apply = [&](auto kernel) {
    launch_kernel(kernel, whole(grid, k.rows), grid.block(), 0, stream, x, residual, k.gamma.as<float>(),
                  k.beta.as<float>(), statistics.mean, statistics.inv_std, k.y.as<T>(), k.rows, k.channels);
  };
  if (residual && k.relu) return apply(apply_kernel<N, true, true, T>);
  if (residual) return apply(apply_kernel<N, true, false, T>);
  if (k.relu) return apply(apply_kernel<N, false, true, T>);
  return apply(apply_kernel<N, false, false, T>);
}

template <int N, Mask mask, class T>
void backward(const BatchNormBackward& k, Stream stream) {
  const ColumnGrid grid(k.channels, N);
  const Sweep sweep(BatchNormSplit{k.rows, k.channels}, grid);
  const Operands<T> of{k.x.as<T>(),        k.dy.as<T>(),       k.y.as<T>(),          k.gamma.as<float>(),
                       k.beta.as<float>(), k.mean.as<float>(), k.inv_std.as<float>()};
  float *partial = static_cast<float*>(stream.scratch), *dgamma = k.dgamma.as<float>(), *dbeta = k.dbeta.as<float>();
  launch_kernel(gradient_sums_kernel<N, mask, T>, dim3(grid.tiles, sweep.splits), grid.block(), 0, stream, of, partial,
                k.channels, sweep);
  join_pairs(stream, partial, sweep.splits, k.channels, dbeta, dgamma, of.inv_std);
  if (!k.dx && !k.dresidual) return;
  launch_kernel(dx_kernel<N, mask, T>, whole(grid, k.rows), grid.block(), 0, stream, of, dgamma, dbeta, k.dx.as<T>(),
                k.dresidual.as<T>(), k.rows, k.channels, k.training ? 1 / static_cast<float>(k.rows) : 0.0f);
}

template <int N, class T>
void backward(const BatchNormBackward& k, Stream stream) {
  if (k.relu && k.y) return backward<N, Mask::stored, T>(k, stream);
  if (k.relu) return backward<N, Mask::computed, T>(k, stream);
  return backward<N, Mask::none, T>(k, stream);
}

}  // namespace

void run(const BatchNorm& k, Stream stream) {
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int N = 16 / sizeof(T);
    if (k.channels % N == 0 && aligned16(k.x.as<T>(), k.residual.as<T>(), k.y.as<T>()))
      forward<N, T>(k, stream);
    else
      forward<1, T>(k, stream);
  });
}

void run(const BatchNormBackward& k, Stream stream) {
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int N = 16 / sizeof(T);
    if (k.channels % N == 0 && aligned16(k.x.as<T>(), k.dy.as<T>(), k.y.as<T>(), k.dx.as<T>(), k.dresidual.as<T>()))
      backward<N, T>(k, stream);
    else
      backward<1, T>(k, stream);
  });
}

}  // namespace gestalt::kernels::cuda
