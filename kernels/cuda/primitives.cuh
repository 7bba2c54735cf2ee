// The device's instructions that C++ has no words for: asynchronous copies, matrix fragments, fast 2^x.
//
// The emulated device implements each of these functions too; no other file holds assembly.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.cuh"

#ifdef GESTALT_CUDA_EMULATED

#include <emulated_primitives.h>

namespace gestalt::kernels::cuda {
using namespace emulator::primitives;
}

#else

namespace gestalt::kernels::cuda {

// Begins a copy of 4, 8 or 16 bytes from global to shared memory; addresses are multiples of that size. Where `valid`
// is false zeros are written and `from` is not read.
template <int bytes>
__device__ __forceinline__ void begin_copy(void* to_shared, const void* from, bool valid = true) {
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(to_shared));
  const int read = valid ? bytes : 0;
  if constexpr (bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(read) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(bytes), "r"(read)
                 : "memory");
}
// Ends a group of copies; wait_copies<N>() waits for all of the thread's groups but the last N.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int still_open>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(still_open) : "memory");
}

// Loads 8×8 matrices of 16-bit elements: lane 8i + r gives the address of row r of matrix i, and receives of each
// matrix the elements (lane / 4, 2 · (lane % 4) + {0, 1}); transposed: (2 · (lane % 4) + {0, 1}, lane / 4).
__device__ __forceinline__ void load_matrix(uint32_t (&r)[4], const void* row) {
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
}
__device__ __forceinline__ void load_matrix(uint32_t (&r)[2], const void* row) {
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(from)
               : "memory");
}
__device__ __forceinline__ void load_matrix_transposed(uint32_t (&r)[4], const void* row) {
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
}
__device__ __forceinline__ void load_matrix_transposed(uint32_t (&r)[2], const void* row) {
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(from)
               : "memory");
}

// d += a · b by a whole warp, a (16, 16) and b (16, 8) of bf16, d (16, 8) of f32. With g = lane / 4 and t = lane % 4:
// a[0..3] hold a(g | g+8, 2t + {0, 1} | 2t + 8 + {0, 1}) in the order (g, lo), (g+8, lo), (g, hi), (g+8, hi);
// b[0..1] hold b(2t + {0, 1} | 2t + 8 + {0, 1}, g); d[0..3] are d(g, 2t), d(g, 2t+1), d(g+8, 2t), d(g+8, 2t+1).
__device__ __forceinline__ void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// d += a · b, a (16, 8) and b (8, 8) of tf32 (floats whose low 13 bits are ignored; see round_tf32), d (16, 8) of f32.
// a[0..3] are a(g, t), a(g+8, t), a(g, t+4), a(g+8, t+4); b[0..1] are b(t, g), b(t+4, g); d as above.
__device__ __forceinline__ void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The bits of x rounded to tf32 (10 mantissa bits), to nearest, ties away from zero.
__device__ __forceinline__ uint32_t round_tf32(float x) {
  uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
}

// `low` and `high` rounded to bf16, to nearest even, side by side.
__device__ __forceinline__ uint32_t round_bf16(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

// 2^x within 2 units in the last place; tiny results are flushed to zero.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace gestalt::kernels::cuda

#endif
