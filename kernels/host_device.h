// Marks a function that is compiled for the host and, under nvcc, for the device too.
#pragma once

#if defined(__CUDACC__) || defined(GESTALT_CUDA_EMULATED)
#define GESTALT_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define GESTALT_HOST_DEVICE inline
#endif
