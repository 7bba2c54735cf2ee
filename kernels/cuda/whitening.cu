// Whitening on CUDA: a block a group. The small matrix lies in shared memory, the rows by columns in working memory,
// both in f64; in substitutions a thread has a row.
#include "kernels/whitening.h"

#include "kernels/cuda/launch.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256;

// Calls f(i, j) for each place of the lower triangle, shared out over the block.
template <class F>
__device__ __forceinline__ void each_below(int dim, F&& f) {
  for (int at = threadIdx.x; at < dim * dim; at += threads) {
    const int i = at / dim, j = at % dim;
    if (j <= i) f(i, j);
  }
}

// The lower triangle of a (dim, dim) becomes its Cholesky factor, column after column.
__device__ __forceinline__ void factorise(double* a, int dim) {
  for (int k = 0; k < dim; ++k) {
    if (threadIdx.x == 0) {
      const double rest = a[k * dim + k];
      a[k * dim + k] = sqrt(rest > least_pivot ? rest : least_pivot);
    }
    __syncthreads();
    for (int i = k + 1 + static_cast<int>(threadIdx.x); i < dim; i += threads) a[i * dim + k] /= a[k * dim + k];
    __syncthreads();
    each_below(dim, [&](int i, int j) {
      if (j > k) a[i * dim + j] -= a[i * dim + k] * a[j * dim + k];
    });
    __syncthreads();
  }
}

__global__ void __launch_bounds__(threads)
    whiten_kernel(const float* z, float* y, float* factor, double* working, int64_t rows, int dim, double shrink) {
  GESTALT_DYNAMIC_SHARED(double, a);
  const int64_t group = blockIdx.x;
  z += group * rows * dim;
  y += group * rows * dim;
  double* columns = working + group * rows * dim;
  for (int j = threadIdx.x; j < dim; j += threads) {
    double sum = 0;
    for (int64_t i = 0; i < rows; ++i) sum += static_cast<double>(z[i * dim + j]);
    const double mean = sum / static_cast<double>(rows);
    for (int64_t i = 0; i < rows; ++i) columns[j * rows + i] = static_cast<double>(z[i * dim + j]) - mean;
  }
  __syncthreads();
  const double share = (1 - shrink) / static_cast<double>(rows - 1);
  each_below(dim, [&](int i, int j) {
    double sum = 0;
    for (int64_t n = 0; n < rows; ++n) sum += columns[i * rows + n] * columns[j * rows + n];
    a[i * dim + j] = share * sum + (i == j ? shrink : 0);
  });
  __syncthreads();
  factorise(a, dim);
  each_below(dim, [&](int i, int j) {
    factor[group * dim * dim + i * dim + j] = static_cast<float>(a[i * dim + j]);
    if (i != j) factor[group * dim * dim + j * dim + i] = 0;
  });
  for (int64_t i = threadIdx.x; i < rows; i += threads)  // y·Lᵀ = x
    for (int j = 0; j < dim; ++j) {
      double value = columns[j * rows + i];
      for (int l = 0; l < j; ++l) value -= a[j * dim + l] * columns[l * rows + i];
      value /= a[j * dim + j];
      columns[j * rows + i] = value;
      y[i * dim + j] = static_cast<float>(value);
    }
}

__global__ void __launch_bounds__(threads)
    whiten_gradient_kernel(const float* y, const float* factor, const float* dy, float* dz, double* working,
                           int64_t rows, int dim, double shrink) {
  GESTALT_DYNAMIC_SHARED(double, h);
  const int64_t group = blockIdx.x;
  y += group * rows * dim;
  dy += group * rows * dim;
  dz += group * rows * dim;
  factor += group * dim * dim;
  double* columns = working + group * rows * dim;
  const double share = (1 - shrink) / static_cast<double>(rows - 1);
  each_below(dim, [&](int i, int j) {
    double sum = 0;
    for (int64_t n = 0; n < rows; ++n)
      sum += static_cast<double>(dy[n * dim + i]) * static_cast<double>(y[n * dim + j]);
    h[i * dim + j] = h[j * dim + i] = share * sum;
  });
  __syncthreads();
  for (int64_t i = threadIdx.x; i < rows; i += threads)
    for (int j = dim - 1; j >= 0; --j) {
      double value = static_cast<double>(dy[i * dim + j]);
      for (int l = 0; l < dim; ++l) value -= static_cast<double>(y[i * dim + l]) * h[l * dim + j];
      for (int l = j + 1; l < dim; ++l) value -= static_cast<double>(factor[l * dim + j]) * columns[l * rows + i];
      columns[j * rows + i] = value / static_cast<double>(factor[j * dim + j]);  // dx·L = dy − share · y·H
    }
  __syncthreads();
  for (int j = threadIdx.x; j < dim; j += threads) {
    double sum = 0;
    for (int64_t i = 0; i < rows; ++i) sum += columns[j * rows + i];
    const double mean = sum / static_cast<double>(rows);
    for (int64_t i = 0; i < rows; ++i) dz[i * dim + j] = static_cast<float>(columns[j * rows + i] - mean);
  }
}

void check_whitened(DType dtype) { check(dtype == DType::f32, "[whiten] got {}, expected f32 on cuda", name(dtype)); }

size_t matrix_bytes(int64_t dim) { return static_cast<size_t>(dim * dim) * sizeof(double); }

}  // namespace

void run(const Whiten& k, Stream stream) {
  check_whitened(k.z.dtype);
  launch_kernel(whiten_kernel, static_cast<unsigned>(k.groups), threads, matrix_bytes(k.dim), stream, k.z.as<float>(),
                k.y.as<float>(), k.factor.as<float>(), static_cast<double*>(stream.scratch), k.rows, k.dim, k.shrink);
}

void run(const WhitenBackward& k, Stream stream) {
  check_whitened(k.y.dtype);
  launch_kernel(whiten_gradient_kernel, static_cast<unsigned>(k.groups), threads, matrix_bytes(k.dim), stream,
                k.y.as<float>(), k.factor.as<float>(), k.dy.as<float>(), k.dz.as<float>(),
                static_cast<double*>(stream.scratch), k.rows, k.dim, k.shrink);
}

}  // namespace gestalt::kernels::cuda
