// CUDA's qualifiers, vector types and built-in variables.
#pragma once

#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __grid_constant__
// Without its own storage class a shared variable cannot be found, poisoned and fenced.
#define __shared__ use_GESTALT_SHARED_instead_of_a_raw_shared_variable

#define EMULATOR_VECTORS(Scalar, Name, align2, align4)                                 \
  struct __align__(align2) Name##2 {                                                   \
    Scalar x, y;                                                                       \
  };                                                                                   \
  struct Name##3 {                                                                     \
    Scalar x, y, z;                                                                    \
  };                                                                                   \
  struct __align__(align4) Name##4 {                                                   \
    Scalar x, y, z, w;                                                                 \
  };                                                                                   \
  constexpr Name##2 make_##Name##2(Scalar x, Scalar y) { return {x, y}; }              \
  constexpr Name##3 make_##Name##3(Scalar x, Scalar y, Scalar z) { return {x, y, z}; } \
  constexpr Name##4 make_##Name##4(Scalar x, Scalar y, Scalar z, Scalar w) { return {x, y, z, w}; }

EMULATOR_VECTORS(unsigned, uint, 8, 16)
EMULATOR_VECTORS(float, float, 8, 16)
EMULATOR_VECTORS(int, int, 8, 16)
EMULATOR_VECTORS(unsigned char, uchar, 2, 4)
EMULATOR_VECTORS(unsigned short, ushort, 4, 8)
EMULATOR_VECTORS(short, short, 4, 8)
EMULATOR_VECTORS(double, double, 16, 16)
#undef EMULATOR_VECTORS

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Set by the scheduler whenever it switches threads.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;
