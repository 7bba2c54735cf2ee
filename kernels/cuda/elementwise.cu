// Flat element-by-element kernels on CUDA: one pass over memory, 16 bytes a load where addresses allow it.
#include "kernels/elementwise.h"

#include "kernels/cuda/vector.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

template <int N, class Y, class Op, class... X>
__device__ __forceinline__ Pack<Y, N> apply(const Op& op, const Pack<X, N>&... x) {
  Pack<Y, N> y;
#pragma unroll
  for (int i = 0; i < N; ++i) y.v[i] = static_cast<Y>(op(static_cast<float>(x.v[i])...));
  return y;
}

// y = op(x…), element by element: `packs` groups of N, then the rest one by one.
template <int N, class Y, class Op, class... X>
__global__ void __launch_bounds__(threads) map_kernel(Op op, int64_t count, int64_t packs, Y* y, const X*... x) {
  const int64_t first = blockIdx.x * int64_t{threads} + threadIdx.x, stride = int64_t{gridDim.x} * threads;
  for (int64_t i = first; i < packs; i += stride)
    store_pack(y + i * N, apply<N, Y>(op, load_pack<Pack<X, N>>(x + i * N)...));
  for (int64_t i = packs * N + first; i < count; i += stride) y[i] = static_cast<Y>(op(static_cast<float>(x[i])...));
}

template <class Y, class Op, class... X>
void map(Stream stream, int64_t count, const Op& op, Y* y, const X*... x) {
  constexpr int N = 16 / static_cast<int>(std::max({sizeof(Y), sizeof(X)...}));
  const int64_t packs = aligned16(y, x...) ? count / N : 0;
  launch_kernel(map_kernel<N, Y, Op, X...>, blocks_for(packs ? divide_up(count, N) : count, threads), threads, 0,
                stream, op, count, packs, y, x...);
}

template <class T>
struct Constant {
  T value;
  __device__ T operator()() const { return value; }
};
struct Same {
  __device__ float operator()(float x) const { return x; }
};
struct Weighted {
  float a_scale, b_scale;
  __device__ float operator()(float a, float b) const { return a_scale * a + b_scale * b; }
};
struct Times {
  __device__ float operator()(float a, float b) const { return a * b; }
};
template <class F>
struct Value {
  F formula;
  __device__ float operator()(float x) const { return formula.f(x); }
};
template <class F>
struct Slope {
  F formula;
  __device__ float operator()(float x, float dy) const { return dy * formula.df(x); }
};

template <class T>
__global__ void __launch_bounds__(threads) sum_kernel(const T* x, double* partial, int64_t count, int64_t chunk) {
  const int64_t begin = blockIdx.x * chunk, end = begin + chunk < count ? begin + chunk : count;
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += threads) sum += static_cast<float>(x[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <class Y>
__global__ void __launch_bounds__(threads) join_sum_kernel(const double* partial, Y* y, int parts, double scale) {
  double sum = 0;
  for (int i = threadIdx.x; i < parts; i += threads) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) y[0] = static_cast<Y>(static_cast<float>(sum * scale));
}

constexpr int strip_rows = ColumnSumSplit::strip_rows;  // one a warp

// What is summed down the columns: elements as they lie in memory, or slopes, which are written on the way.
template <int N, class T>
struct Loaded {
  const T* x;
  __device__ __forceinline__ Pack<T, N> operator()(int64_t at) const { return load_pack<Pack<T, N>>(x + at); }
};
template <int N, class T, class F>
struct Slopes {
  Slope<F> slope;
  const T *x, *dy;
  T* dx;
  __device__ __forceinline__ Pack<T, N> operator()(int64_t at) const {
    const auto y = apply<N, T>(slope, load_pack<Pack<T, N>>(x + at), load_pack<Pack<T, N>>(dy + at));
    store_pack(dx + at, y);
    return y;
  }
};

// Sums a range of rows into a row of `sums_of_ranges`: each lane owns N neighbouring columns, each warp every eighth
// row.
template <int N, class From>
__global__ void __launch_bounds__(32 * strip_rows)
    column_sum_kernel(From from, float* sums_of_ranges, int64_t rows, int64_t columns, int64_t rows_per_split) {
  GESTALT_SHARED(float, sums, [strip_rows][32 * N]);
  const int lane = threadIdx.x, warp = threadIdx.y;
  const int64_t column = (blockIdx.x * int64_t{32} + lane) * N;
  const int64_t begin = blockIdx.y * rows_per_split;
  const int64_t end = begin + rows_per_split < rows ? begin + rows_per_split : rows;
  float* sums_of_range = sums_of_ranges + blockIdx.y * columns;
  float sum[N] = {};
  if (column < columns)
#pragma unroll 4
    for (int64_t i = begin + warp; i < end; i += strip_rows) {
      const auto pack = from(i * columns + column);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += static_cast<float>(pack.v[j]);
    }
#pragma unroll
  for (int j = 0; j < N; ++j) sums[warp][lane * N + j] = sum[j];
  __syncthreads();
  for (int j = warp * 32 + lane; j < 32 * N; j += 32 * strip_rows) {
    const int64_t to = blockIdx.x * int64_t{32} * N + j;
    float total = 0;
#pragma unroll
    for (int w = 0; w < strip_rows; ++w) total += sums[w][j];
    if (to < columns) sums_of_range[to] = total;
  }
}

__global__ void __launch_bounds__(threads)
    join_columns_kernel(const float* partial, float* y, int64_t columns, int splits) {
  const int64_t j = blockIdx.x * int64_t{threads} + threadIdx.x;
  if (j >= columns) return;
  float sum = 0;
  for (int s = 0; s < splits; ++s) sum += partial[s * columns + j];
  y[j] = sum;
}

template <int N, class From>
void column_sum(const From& from, float* y, int64_t rows, int64_t columns, const ColumnSumSplit& split, Stream stream) {
  auto* partial = static_cast<float*>(stream.scratch);
  launch_kernel(column_sum_kernel<N, From>, dim3(split.strips, split.splits), dim3(32, strip_rows), 0, stream, from,
                split.splits == 1 ? y : partial, rows, columns, split.rows_per_split);
  if (split.splits > 1)
    launch_kernel(join_columns_kernel, divide_up(columns, threads), threads, 0, stream, partial, y, columns,
                  split.splits);
}

// y = x + row, `packs` groups of N that do not cross a row's end; without packs N is 1.
template <int N, class Index, class T>
__global__ void __launch_bounds__(threads)
    add_row_kernel(const T* x, const float* row, T* y, Index packs, Index columns) {
  const Index stride = static_cast<Index>(gridDim.x) * threads;
  for (Index i = static_cast<Index>(blockIdx.x) * threads + threadIdx.x; i < packs; i += stride) {
    const auto a = load_pack<Pack<T, N>>(x + i * N);
    const auto b = load_pack<Pack<float, N>>(row + i * N % columns);
    Pack<T, N> sum;
#pragma unroll
    for (int j = 0; j < N; ++j) sum.v[j] = static_cast<T>(static_cast<float>(a.v[j]) + b.v[j]);
    store_pack(y + i * N, sum);
  }
}

template <int N, class T>
void add_row(const AddRow& k, Stream stream) {
  const T* x = k.x.as<T>();
  const float* row = k.row.as<float>();
  T* y = k.y.as<T>();
  const int64_t packs = k.rows * k.columns / N;
  // 32-bit remainders where they suffice; headroom for one stride past the end.
  if (k.rows * k.columns < (int64_t{1} << 31))
    launch_kernel(add_row_kernel<N, uint32_t, T>, blocks_for(packs, threads), threads, 0, stream, x, row, y, packs,
                  k.columns);
  else
    launch_kernel(add_row_kernel<N, int64_t, T>, blocks_for(packs, threads), threads, 0, stream, x, row, y, packs,
                  k.columns);
}

template <class T>
void fill(const Fill& k, Stream stream) {
  map(stream, k.count, Constant<T>{static_cast<T>(static_cast<Accumulator<T>>(k.value))}, k.y.as<T>());
}

}  // namespace

void run(const Fill& k, Stream stream) {
  switch (k.y.dtype) {
    case DType::u8:
      return fill<uint8_t>(k, stream);
    case DType::i32:
      return fill<int32_t>(k, stream);
    default:
      dispatch_cuda(k.y.dtype, [&](auto tag) { fill<decltype(tag)>(k, stream); });
  }
}

void run(const Convert& k, Stream stream) {
  if (k.x.dtype == k.y.dtype) return copy_async(k.y.data, k.x.data, k.count * size_of(k.x.dtype), stream);
  dispatch_cuda(k.y.dtype, [&](auto to) {
    auto* y = k.y.as<decltype(to)>();
    switch (k.x.dtype) {
      case DType::u8:
        return map(stream, k.count, Same{}, y, k.x.as<uint8_t>());
      case DType::i32:
        return map(stream, k.count, Same{}, y, k.x.as<int32_t>());
      default:
        dispatch_cuda(k.x.dtype, [&](auto from) { map(stream, k.count, Same{}, y, k.x.as<decltype(from)>()); });
    }
  });
}

void run(const Combine& k, Stream stream) {
  const Weighted op{static_cast<float>(k.a_scale), static_cast<float>(k.b_scale)};
  dispatch_cuda(k.y.dtype, [&](auto y) {
    dispatch_cuda(k.a.dtype, [&](auto a) {
      dispatch_cuda(k.b.dtype, [&](auto b) {
        map(stream, k.count, op, k.y.as<decltype(y)>(), k.a.as<decltype(a)>(), k.b.as<decltype(b)>());
      });
    });
  });
}

void run(const Multiply& k, Stream stream) {
  dispatch_cuda(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    map(stream, k.count, Times{}, k.y.as<T>(), k.a.as<T>(), k.b.as<T>());
  });
}

void run(const Pointwise& k, Stream stream) {
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    std::visit([&]<class F>(F formula) { map(stream, k.count, Value<F>{formula}, k.y.as<T>(), k.x.as<T>()); },
               k.formula);
  });
}

void run(const PointwiseBackward& k, Stream stream) {
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    std::visit(
        [&]<class F>(F formula) { map(stream, k.count, Slope<F>{formula}, k.dx.as<T>(), k.x.as<T>(), k.dy.as<T>()); },
        k.formula);
  });
}

void run(const Sum& k, Stream stream) {
  const SumSplit split(k.count);
  auto* partial = static_cast<double*>(stream.scratch);
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(sum_kernel<T>, split.parts, threads, 0, stream, k.x.as<T>(), partial, k.count, split.chunk);
  });
  dispatch_cuda(k.y.dtype, [&](auto tag) {
    using Y = decltype(tag);
    launch_kernel(join_sum_kernel<Y>, 1, threads, 0, stream, partial, k.y.as<Y>(), split.parts, k.scale);
  });
}

void run(const ColumnSum& k, Stream stream) {
  if (k.columns == 0) return;
  const ColumnSumSplit split = split_of(k);
  const auto sum = [&]<int N, class T>(Loaded<N, T> from) {
    column_sum<N>(from, k.y.as<float>(), k.rows, k.columns, split, stream);
  };
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (split.wide)
      sum(Loaded<4, T>{k.x.as<T>()});
    else
      sum(Loaded<1, T>{k.x.as<T>()});
  });
}

void run(const PointwiseBackwardSums& k, Stream stream) {
  if (k.columns == 0) return;
  const ColumnSumSplit split = split_of(k);
  const auto sum = [&]<int N, class T, class F>(Slopes<N, T, F> from) {
    column_sum<N>(from, k.sums.as<float>(), k.rows, k.columns, split, stream);
  };
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    std::visit(
        [&]<class F>(F formula) {
          if (split.wide)
            sum(Slopes<4, T, F>{{formula}, k.x.as<T>(), k.dy.as<T>(), k.dx.as<T>()});
          else
            sum(Slopes<1, T, F>{{formula}, k.x.as<T>(), k.dy.as<T>(), k.dx.as<T>()});
        },
        k.formula);
  });
}

void run(const AddRow& k, Stream stream) {
  dispatch_cuda(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int N = 16 / sizeof(T);
    if (k.columns % N == 0 && aligned16(k.x.as<T>(), k.row.as<float>(), k.y.as<T>()))
      add_row<N, T>(k, stream);
    else
      add_row<1, T>(k, stream);
  });
}

}  // namespace gestalt::kernels::cuda
