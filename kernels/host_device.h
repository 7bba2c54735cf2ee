// Marks a function that is compiled for the host and, under nvcc, for the device too, and always in line: a loop with a
// call in it is no vector code, and what a compiler thinks too long for a call's place changes with its surroundings.
#pragma once

#if defined(__CUDACC__) || defined(GESTALT_CUDA_EMULATED)
#define GESTALT_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define GESTALT_HOST_DEVICE inline __attribute__((always_inline))
#endif
