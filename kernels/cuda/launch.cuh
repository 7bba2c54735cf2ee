// The one way to start a kernel, and the way to declare its shared memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/runtime.h"
#include "kernels/cuda/status.cuh"
#include "kernels/launch.h"

#ifndef GESTALT_CUDA_EMULATED
// GESTALT_SHARED(float, tile, [32][33]); the emulated device gives each such variable a fence of its own.
#define GESTALT_SHARED(Type, name, ...) __shared__ __align__(16) Type name __VA_ARGS__
// GESTALT_DYNAMIC_SHARED(float, tile); `float* tile` over the bytes that the launch asked for.
#define GESTALT_DYNAMIC_SHARED(Type, name)                                 \
  extern __shared__ __align__(128) unsigned char gestalt_dynamic_shared[]; \
  Type* name = reinterpret_cast<Type*>(gestalt_dynamic_shared)
#endif

namespace gestalt::kernels::cuda {

// More dynamic shared memory than this is asked for, kernel by kernel: 48 KiB less what a kernel may have of static
// memory.
constexpr size_t unasked_shared_bytes = 32 << 10;

// Starts `kernel` with `shared_bytes` of dynamic shared memory. An empty grid does nothing.
template <class... Parameters, class... Arguments>
void launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Stream stream,
                   Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (shared_bytes > unasked_shared_bytes) {
    check(
        shared_bytes <= most_shared_bytes(),
        "[cuda] got a kernel that asks for {} bytes of shared memory, expected at most {} on this device; use --device "
        "cpu or smaller shapes",
        shared_bytes, most_shared_bytes());
    GESTALT_CUDA_CHECK(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)));
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream.handle);
  GESTALT_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

// Blocks for a grid-stride loop over `count` items: enough to fill the device, no more than there is work for.
inline unsigned blocks_for(int64_t count, int block, int blocks_per_multiprocessor = 8) {
  const int64_t most = int64_t{multiprocessors()} * blocks_per_multiprocessor;
  return static_cast<unsigned>(std::min(divide_up(count, block), most));
}

// Calls f(T{}) for the floating dtypes of the CUDA backend.
template <class F>
void dispatch_cuda(DType dtype, F&& f) {
  check(dtype == DType::f32 || dtype == DType::bf16, "[cuda] got {}, expected f32 or bf16; f64 runs on --device cpu",
        name(dtype));
  if (dtype == DType::f32)
    f(float{});
  else
    f(BFloat16{});
}

}  // namespace gestalt::kernels::cuda
