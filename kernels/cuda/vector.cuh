// Loads and stores of up to 16 bytes at a time.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/launch.cuh"

namespace gestalt::kernels::cuda {

// N elements that move together, aligned so that they compile to accesses of up to 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T v[N];
};

template <class P, class T>
__device__ __forceinline__ P load_pack(const T* from) {
  return *reinterpret_cast<const P*>(from);
}
template <class P, class T>
__device__ __forceinline__ void store_pack(T* to, const P& pack) {
  *reinterpret_cast<P*>(to) = pack;
}

// Whether every pointer is a multiple of 16.
template <class... Pointers>
bool aligned16(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

// Calls f(T{}, N) with the dtype's C++ type and, as an integral constant, the elements that move together: those of 16
// bytes, or one where not `wide`.
template <class F>
void dispatch_pack(DType dtype, bool wide, F&& f) {
  dispatch_cuda(dtype, [&](auto tag) {
    if (wide)
      f(tag, std::integral_constant<int, 16 / static_cast<int>(sizeof(tag))>());
    else
      f(tag, std::integral_constant<int, 1>());
  });
}

// Runs f(i) for i in [0, count) over the whole grid.
template <class F>
__device__ __forceinline__ void grid_stride(int64_t count, F&& f) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x)
    f(i);
}

}  // namespace gestalt::kernels::cuda
