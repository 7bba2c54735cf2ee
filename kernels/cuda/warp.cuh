// Sums and maxima over a warp and over a block, in an order that never changes.
#pragma once

#include "kernels/cuda/launch.cuh"

namespace gestalt::kernels::cuda {

constexpr unsigned full_warp = 0xffffffffu;

template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(full_warp, value, offset);
  return value;
}

template <class T>
__device__ __forceinline__ T warp_max(T value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(full_warp, value, offset);
    value = other > value ? other : value;
  }
  return value;
}

// The sum over a one-dimensional block of whole warps, known to every thread.
template <class T>
__device__ __forceinline__ T block_sum(T value) {
  GESTALT_SHARED(T, of_warp, [32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = warp_sum(value);
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  const T total = warp_sum(lane < warps ? of_warp[lane] : T(0));
  __syncthreads();  // of_warp may be used again
  return total;
}

template <class T>
__device__ __forceinline__ T block_max(T value) {
  GESTALT_SHARED(T, of_warp, [32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = warp_max(value);
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  const T largest = warp_max(of_warp[lane < warps ? lane : 0]);
  __syncthreads();
  return largest;
}

}  // namespace gestalt::kernels::cuda
