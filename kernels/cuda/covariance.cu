// Losses on the statistics of a batch on CUDA: a block a strip of columns for statistics, a block a row for the
// covariance matrix.
#include "kernels/covariance.h"

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

template <class T>
__global__ void __launch_bounds__(threads)
    squares_kernel(const T* a, const T* b, double* partial, int64_t count, int64_t chunk) {
  const int64_t begin = blockIdx.x * chunk, end = begin + chunk < count ? begin + chunk : count;
  double sum = 0;
#pragma unroll 4
  for (int64_t i = begin + threadIdx.x; i < end; i += threads) {
    const float d = static_cast<float>(a[i]) - static_cast<float>(b[i]);
    sum += static_cast<double>(d) * static_cast<double>(d);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// loss = scale · Σ partial, by one block in a fixed order.
__global__ void __launch_bounds__(threads)
    join_squares_kernel(const double* partial, float* loss, int64_t partials, double scale) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < partials; i += threads) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) loss[0] = static_cast<float>(scale * sum);
}

template <class T>
__global__ void __launch_bounds__(threads)
    squares_gradient_kernel(const T* a, const T* b, const float* dloss, T* da, T* db, int64_t count) {
  const auto factor = static_cast<float>(2 * dloss[0] / static_cast<double>(count));
  grid_stride(count, [&](int64_t i) {
    const float slope = factor * (static_cast<float>(a[i]) - static_cast<float>(b[i]));
    if (da) da[i] = static_cast<T>(slope);
    if (db) db[i] = static_cast<T>(-slope);
  });
}

// The mean of number i of the first `views` views.
template <class T>
__device__ __forceinline__ float view_mean(const T* z, int64_t i, int64_t views, int64_t count) {
  float sum = 0;
  for (int64_t v = 0; v < views; ++v) sum += static_cast<float>(z[v * count + i]);
  return sum / static_cast<float>(views);
}

template <class T>
__global__ void __launch_bounds__(threads)
    view_distance_kernel(const T* z, double* partial, int64_t views, int64_t centres, int64_t count, int64_t chunk) {
  const int64_t begin = blockIdx.x * chunk, end = begin + chunk < count ? begin + chunk : count;
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += threads) {
    const float centre = view_mean(z, i, centres, count);
    for (int64_t v = 0; v < views; ++v) {
      const float d = static_cast<float>(z[v * count + i]) - centre;
      sum += static_cast<double>(d) * static_cast<double>(d);
    }
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <class T>
__global__ void __launch_bounds__(threads)
    view_distance_gradient_kernel(const T* z, const float* dloss, T* dz, int64_t views, int64_t centres,
                                  int64_t count) {
  const auto factor = static_cast<float>(2 * dloss[0] / (static_cast<double>(views) * static_cast<double>(count)));
  grid_stride(count, [&](int64_t i) {
    const float centre = view_mean(z, i, centres, count);
    const float pulled =
        static_cast<float>(views) * (view_mean(z, i, views, count) - centre) / static_cast<float>(centres);
    for (int64_t v = 0; v < views; ++v) {
      const float d = static_cast<float>(z[v * count + i]) - centre;
      dz[v * count + i] = static_cast<T>(factor * (v < centres ? d - pulled : d));
    }
  });
}

// Σ f(element) down this thread's column, known to the threads of that column. All threads of the block call it.
template <class T, class F>
__device__ __forceinline__ float column_total(const T* z, int64_t c, int64_t rows, int64_t columns, F&& f) {
  float sum[1] = {};
  if (c < columns)
#pragma unroll 4
    for (int64_t i = threadIdx.y; i < rows; i += blockDim.y) sum[0] += f(static_cast<float>(z[i * columns + c]));
  sum_over_height(sum);
  return sum[0];
}

template <class T>
__global__ void __launch_bounds__(column_threads)
    deviations_kernel(const T* z, float* means, float* stds, int64_t rows, int64_t columns, float eps) {
  const int64_t c = first_column<1>();
  const float mean = column_total(z, c, rows, columns, [](float v) { return v; }) / static_cast<float>(rows);
  const float squares = column_total(z, c, rows, columns, [mean](float v) { return (v - mean) * (v - mean); });
  if (c >= columns || threadIdx.y != 0) return;
  means[c] = mean;
  stds[c] = sqrtf(squares / static_cast<float>(rows - 1) + eps);
}

__global__ void __launch_bounds__(threads)
    hinge_kernel(const float* stds, float* loss, int64_t columns, double target) {
  double sum = 0;
  for (int64_t j = threadIdx.x; j < columns; j += threads) {
    const double below = target - static_cast<double>(stds[j]);
    sum += below > 0 ? below : 0;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) loss[0] = static_cast<float>(sum / static_cast<double>(columns));
}

// A block a strip of columns and a range of rows.
template <class T>
__global__ void __launch_bounds__(column_threads)
    hinge_gradient_kernel(const T* z, const float* means, const float* stds, const float* dloss, T* dz, int64_t rows,
                          int64_t columns, float target) {
  const int64_t c = first_column<1>();
  if (c >= columns) return;
  const float mean = means[c], std = stds[c];
  const auto share = static_cast<float>(-dloss[0] / (static_cast<double>(columns) * static_cast<double>(rows - 1)));
  const float factor = std < target ? share / std : 0.0f;
  for (int64_t i = blockIdx.y * int64_t{blockDim.y} + threadIdx.y; i < rows; i += int64_t{gridDim.y} * blockDim.y)
    dz[i * columns + c] = static_cast<T>(factor * (static_cast<float>(z[i * columns + c]) - mean));
}

template <class T>
__global__ void __launch_bounds__(column_threads) centre_kernel(const T* z, T* y, int64_t rows, int64_t columns) {
  const int64_t c = first_column<1>();
  const float mean = column_total(z, c, rows, columns, [](float v) { return v; }) / static_cast<float>(rows);
  if (c >= columns) return;
#pragma unroll 4
  for (int64_t i = threadIdx.y; i < rows; i += blockDim.y)
    y[i * columns + c] = static_cast<T>(static_cast<float>(z[i * columns + c]) - mean);
}

// `to` may be `products`: an element is written by the thread that read it.
template <class T>
__global__ void __launch_bounds__(threads)
    off_diagonal_kernel(const float* products, T* to, double* partial, int64_t dim, float scale) {
  const int64_t row = blockIdx.x;
  double sum = 0;
#pragma unroll 4
  for (int64_t j = threadIdx.x; j < dim; j += threads) {
    const float c = j == row ? 0.0f : scale * products[row * dim + j];
    sum += static_cast<double>(c) * static_cast<double>(c);
    if (to) to[row * dim + j] = static_cast<T>(c);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[row] = sum;
}

// `to` may be `products`: an element is written by the thread that read it.
template <class T>
__global__ void __launch_bounds__(threads) cross_correlation_kernel(const float* products, T* to, double* losses,
                                                                    int64_t dim, float scale, double off_weight) {
  const int64_t row = blockIdx.x;
  const auto slope_by = static_cast<float>(2 * off_weight * scale);
  const float c_ii = scale * products[row * dim + row];
  __syncthreads();  // the diagonal is read by all before one writes there
  double squares = 0, magnitude = 0;
#pragma unroll 4
  for (int64_t j = threadIdx.x; j < dim; j += threads) {
    const float product = products[row * dim + j], c = j == row ? 0.0f : scale * product;
    squares += static_cast<double>(c) * static_cast<double>(c);
    magnitude += static_cast<double>(fabsf(c));
    if (to) to[row * dim + j] = static_cast<T>(j == row ? 2 * (c_ii - 1) : slope_by * product);
  }
  squares = block_sum(squares);
  magnitude = block_sum(magnitude);
  if (threadIdx.x != 0) return;
  const double off = static_cast<double>(c_ii) - 1;
  losses[row] = off * off + off_weight * squares;
  losses[dim + row] = c_ii;
  losses[2 * dim + row] = magnitude;
}

template <class T>
__global__ void __launch_bounds__(threads)
    scale_by_kernel(const float* x, const float* factor, T* y, double scale, int64_t count) {
  const auto by = static_cast<float>(scale * static_cast<double>(factor[0]));
  grid_stride(count, [&](int64_t i) { y[i] = static_cast<T>(by * x[i]); });
}

void join_squares(Stream stream, Out loss, int64_t partials, double scale, int64_t from = 0) {
  launch_kernel(join_squares_kernel, 1, threads, 0, stream, static_cast<const double*>(stream.scratch) + from,
                loss.as<float>(), partials, scale);
}

}  // namespace

void run(const MeanSquared& k, Stream stream) {
  const int64_t chunks = squares_chunks(k.count);
  dispatch_cuda(k.a.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(squares_kernel<T>, static_cast<unsigned>(chunks), threads, 0, stream, k.a.as<T>(), k.b.as<T>(),
                  static_cast<double*>(stream.scratch), k.count, squares_chunk(k.count));
  });
  join_squares(stream, k.loss, chunks, 1 / static_cast<double>(k.count));
}

void run(const MeanSquaredBackward& k, Stream stream) {
  dispatch_cuda(k.a.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(squares_gradient_kernel<T>, blocks_for(k.count, threads), threads, 0, stream, k.a.as<T>(),
                  k.b.as<T>(), k.dloss.as<float>(), k.da.as<T>(), k.db.as<T>(), k.count);
  });
}

void run(const ViewDistance& k, Stream stream) {
  const int64_t chunks = squares_chunks(k.count);
  dispatch_cuda(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(view_distance_kernel<T>, static_cast<unsigned>(chunks), threads, 0, stream, k.z.as<T>(),
                  static_cast<double*>(stream.scratch), k.views, k.centres, k.count, squares_chunk(k.count));
  });
  join_squares(stream, k.loss, chunks, 1 / real(k.views * k.count));
}

void run(const ViewDistanceBackward& k, Stream stream) {
  dispatch_cuda(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(view_distance_gradient_kernel<T>, blocks_for(k.count, threads), threads, 0, stream, k.z.as<T>(),
                  k.dloss.as<float>(), k.dz.as<T>(), k.views, k.centres, k.count);
  });
}

void run(const VarianceHinge& k, Stream stream) {
  const ColumnGrid grid(k.columns, 1);
  dispatch_cuda(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(deviations_kernel<T>, grid.tiles, grid.block(), 0, stream, k.z.as<T>(), k.mean.as<float>(),
                  k.std.as<float>(), k.rows, k.columns, k.eps);
  });
  launch_kernel(hinge_kernel, 1, threads, 0, stream, k.std.as<float>(), k.loss.as<float>(), k.columns, k.target);
}

void run(const VarianceHingeBackward& k, Stream stream) {
  const ColumnGrid grid(k.columns, 1);
  const auto ranges = static_cast<unsigned>(std::min<int64_t>(64, divide_up(k.rows, 4 * grid.height)));
  dispatch_cuda(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(hinge_gradient_kernel<T>, dim3(grid.tiles, ranges), grid.block(), 0, stream, k.z.as<T>(),
                  k.mean.as<float>(), k.std.as<float>(), k.dloss.as<float>(), k.dz.as<T>(), k.rows, k.columns,
                  k.target);
  });
}

void run(const CentreColumns& k, Stream stream) {
  const ColumnGrid grid(k.columns, 1);
  dispatch_cuda(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(centre_kernel<T>, grid.tiles, grid.block(), 0, stream, k.z.as<T>(), k.y.as<T>(), k.rows, k.columns);
  });
}

void run(const OffDiagonal& k, Stream stream) {
  dispatch_cuda(k.off_diagonal ? k.off_diagonal.dtype : k.products.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(off_diagonal_kernel<T>, static_cast<unsigned>(k.dim), threads, 0, stream, k.products.as<float>(),
                  k.off_diagonal.as<T>(), static_cast<double*>(stream.scratch), k.dim, k.scale);
  });
  join_squares(stream, k.loss, k.dim, 1 / static_cast<double>(k.dim));
}

void run(const CrossCorrelation& k, Stream stream) {
  dispatch_cuda(k.slope ? k.slope.dtype : k.products.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(cross_correlation_kernel<T>, static_cast<unsigned>(k.dim), threads, 0, stream, k.products.as<float>(),
                  k.slope.as<T>(), static_cast<double*>(stream.scratch), k.dim, k.scale, k.off_weight);
  });
  join_squares(stream, k.loss, k.dim, 1);
  join_squares(stream, k.diagonal, k.dim, 1 / real(k.dim), k.dim);
  join_squares(stream, k.redundancy, k.dim, 1 / real(k.dim * std::max<int64_t>(1, k.dim - 1)), 2 * k.dim);
}

void run(const ScaleBy& k, Stream stream) {
  dispatch_cuda(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(scale_by_kernel<T>, blocks_for(k.count, threads), threads, 0, stream, k.x.as<float>(),
                  k.factor.as<float>(), k.y.as<T>(), k.scale, k.count);
  });
}

}  // namespace gestalt::kernels::cuda
