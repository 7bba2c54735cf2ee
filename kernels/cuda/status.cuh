// Checks of what CUDA returns: the call, file and line are in the message.
#pragma once

#include <cuda_runtime.h>

#include "kernels/check.h"

namespace gestalt::kernels::cuda {

inline void check_status(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the next call starts clean
  fail("[cuda] {} failed with {} ({}) at {}:{}", call, cudaGetErrorName(status), cudaGetErrorString(status), file,
       line);
}

}  // namespace gestalt::kernels::cuda

#define GESTALT_CUDA_CHECK(call) ::gestalt::kernels::cuda::check_status((call), #call, __FILE__, __LINE__)
