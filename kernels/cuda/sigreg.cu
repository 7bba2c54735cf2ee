// Random directions and the statistic of Epps and Pulley on CUDA: a warp a direction; a block some slices of one view,
// all of its rows in the statistic and a range of them in the gradient.
#include "kernels/sigreg.h"

#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/warp.cuh"

namespace gestalt::kernels::cuda {
namespace {

constexpr int threads = 256, directions = 4;  // of a block
constexpr int slice_lanes = 16, slice_height = column_threads / slice_lanes;

__global__ void __launch_bounds__(32 * directions)
    slices_kernel(float* y, int64_t slices, int64_t dim, uint64_t seed, Varying<uint64_t> step) {
  const int64_t m = blockIdx.x * int64_t{directions} + threadIdx.x / 32;
  if (m >= slices) return;
  float* row = y + m * dim;
  const uint64_t now = step.now();
  double squares = 0;
  for (int64_t d = 2 * (threadIdx.x % 32); d < dim; d += 64) {
    const NormalPair pair = normal_pair(seed, Use::slice, now, static_cast<uint32_t>(m), static_cast<uint32_t>(d / 2));
    row[d] = pair.first;
    squares += static_cast<double>(pair.first) * static_cast<double>(pair.first);
    if (d + 1 == dim) break;
    row[d + 1] = pair.second;
    squares += static_cast<double>(pair.second) * static_cast<double>(pair.second);
  }
  const auto inverse = static_cast<float>(1 / sqrt(warp_sum(squares)));
  for (int64_t d = 2 * (threadIdx.x % 32); d < dim; d += 64) {  // each thread what it wrote
    row[d] *= inverse;
    if (d + 1 < dim) row[d + 1] *= inverse;
  }
}

// `sums` holds those of cos(kθ), then those of sin(kθ). As on the CPU, multiples of θ follow by turning.
__device__ __forceinline__ void add_multiples(float theta, float (&sums)[2 * slice_nodes]) {
  const SinCos<float> turn = fast_sincos(theta);
  float cosine = turn.cosine, sine = turn.sine;
#pragma unroll
  for (int k = 0; k < slice_nodes; ++k) {
    sums[k] += cosine;
    sums[slice_nodes + k] += sine;
    const float turned = cosine * turn.cosine - sine * turn.sine;
    sine = sine * turn.cosine + cosine * turn.sine;
    cosine = turned;
  }
}

// Each sum over the block's threads of the same threadIdx.x, some at a time for the sake of shared memory.
__device__ __forceinline__ void join_rows(float (&sums)[2 * slice_nodes]) {
  constexpr int together = 8;
#pragma unroll
  for (int begin = 0; begin < 2 * slice_nodes; begin += together) {
    float some[together];
#pragma unroll
    for (int k = 0; k < together; ++k) some[k] = sums[begin + k];
    sum_over_height(some);
#pragma unroll
    for (int k = 0; k < together; ++k) sums[begin + k] = some[k];
  }
}

template <class T>
__global__ void __launch_bounds__(column_threads)
    epps_pulley_kernel(const T* p, float* slopes, double* statistics, int64_t rows, int64_t slices, double share,
                       SliceNodes<float> nodes) {
  const int64_t m = first_column<1>(), view = blockIdx.y;
  float sums[2 * slice_nodes] = {};
  if (m < slices)
    for (int64_t i = threadIdx.y; i < rows; i += slice_height)
      add_multiples(static_cast<float>(slice_step) * static_cast<float>(p[(view * rows + i) * slices + m]), sums);
  join_rows(sums);
  if (m >= slices || threadIdx.y != 0) return;
  slopes += view * 2 * slice_nodes * slices + m;
  const float one = 1 / static_cast<float>(rows), by = static_cast<float>(share);
  float total = 0;
#pragma unroll
  for (int k = 0; k < slice_nodes; ++k) {
    const float cosine = sums[k] * one - nodes.target[k], sine = sums[slice_nodes + k] * one;
    const float factor = slice_factor(nodes, k, by);
    total += nodes.weight[k] * (cosine * cosine + sine * sine);
    slopes[k * slices] = factor * sine;
    slopes[(slice_nodes + k) * slices] = factor * cosine;
  }
  statistics[view * slices + m] = static_cast<double>(rows) * static_cast<double>(total);
}

__global__ void __launch_bounds__(threads)
    mean_statistic_kernel(const double* statistics, float* loss, int64_t count, double share) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += threads) sum += statistics[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) loss[0] = static_cast<float>(share * sum);
}

// The real part of a polynomial in e^{iθ} by Horner's rule, its coefficients held in registers for all rows.
template <class T>
__global__ void __launch_bounds__(column_threads)
    epps_pulley_gradient_kernel(const T* p, const float* slopes, const float* dloss, T* dp, int64_t rows,
                                int64_t slices) {
  const int64_t m = first_column<1>(), view = blockIdx.y;
  if (m >= slices) return;
  slopes += view * 2 * slice_nodes * slices + m;
  float held[2 * slice_nodes];
#pragma unroll
  for (int k = 0; k < 2 * slice_nodes; ++k) held[k] = slopes[k * slices];
  const float factor = dloss[0];
  for (int64_t i = blockIdx.z * int64_t{slice_height} + threadIdx.y; i < rows; i += int64_t{gridDim.z} * slice_height) {
    const int64_t at = (view * rows + i) * slices + m;
    const SinCos<float> turn = fast_sincos(static_cast<float>(slice_step) * static_cast<float>(p[at]));
    float real = 0, imaginary = 0;
#pragma unroll
    for (int k = slice_nodes - 1; k >= 0; --k) {
      real += held[k];
      imaginary += held[slice_nodes + k];
      const float turned = real * turn.cosine - imaginary * turn.sine;
      imaginary = imaginary * turn.cosine + real * turn.sine;
      real = turned;
    }
    dp[at] = static_cast<T>(factor * real);
  }
}

dim3 slice_block() { return dim3(slice_lanes, slice_height); }

}  // namespace

void run(const RandomSlices& k, Stream stream) {
  launch_kernel(slices_kernel, static_cast<unsigned>(divide_up(k.slices, directions)), 32 * directions, 0, stream,
                k.y.as<float>(), k.slices, k.dim, k.seed, k.step);
}

void run(const EppsPulley& k, Stream stream) {
  const dim3 grid(static_cast<unsigned>(divide_up(k.slices, slice_lanes)), static_cast<unsigned>(k.views));
  const double share = 1 / real(k.views * k.slices);
  auto* statistics = static_cast<double*>(stream.scratch);
  dispatch_cuda(k.p.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(epps_pulley_kernel<T>, grid, slice_block(), 0, stream, k.p.as<T>(), k.slopes.as<float>(), statistics,
                  k.rows, k.slices, share, SliceNodes<float>());
  });
  launch_kernel(mean_statistic_kernel, 1, threads, 0, stream, statistics, k.loss.as<float>(), k.views * k.slices,
                share);
}

void run(const EppsPulleyBackward& k, Stream stream) {
  const auto ranges = static_cast<unsigned>(std::min<int64_t>(64, divide_up(k.rows, 4 * slice_height)));
  const dim3 grid(static_cast<unsigned>(divide_up(k.slices, slice_lanes)), static_cast<unsigned>(k.views), ranges);
  dispatch_cuda(k.p.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(epps_pulley_gradient_kernel<T>, grid, slice_block(), 0, stream, k.p.as<T>(), k.slopes.as<float>(),
                  k.dloss.as<float>(), k.dp.as<T>(), k.rows, k.slices);
  });
}

}  // namespace gestalt::kernels::cuda
