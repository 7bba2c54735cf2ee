// What calls into cuBLASLt and cuDNN share: status checks, workspace, and whether tf32 may stand in for f32.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>

#include "kernels/cuda/launch.cuh"

namespace gestalt::kernels::cuda {

inline void check_status(cublasStatus_t status, const char* call, const char* file, int line) {
  check(status == CUBLAS_STATUS_SUCCESS, "[cuda] {} failed with {} at {}:{}", call, cublasLtGetStatusString(status),
        file, line);
}
inline void check_status(cudnnStatus_t status, const char* call, const char* file, int line) {
  check(status == CUDNN_STATUS_SUCCESS, "[cuda] {} failed with {} at {}:{}", call, cudnnGetErrorString(status), file,
        line);
}

// At least `bytes` that work on the compute stream may scribble on. Never released: a captured graph may hold it.
void* library_workspace(size_t bytes);

// GESTALT_TF32=1: products and convolutions of f32 may round their factors to tf32 (10 mantissa bits), 8 times as fast.
bool tf32_allowed();

// The largest power of two up to 256 that divides the address.
inline uint32_t alignment_of(const void* p) {
  const auto bits = reinterpret_cast<uintptr_t>(p) | 256;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

}  // namespace gestalt::kernels::cuda
