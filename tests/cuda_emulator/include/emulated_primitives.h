// The project's wrapped device instructions (kernels/cuda/primitives.cuh), emulated.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "cuda_runtime.h"

namespace emulator::primitives {

// Copies wait in a list until wait_copies, so that a kernel that forgets to wait reads old bytes; in other orders than
// forward they may land at once.
void record_copy(void* to, const void* from, int bytes, int valid_bytes);
void commit_copies();
void finish_copies(int still_open);

template <int bytes>
void begin_copy(void* to_shared, const void* from, bool valid = true) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
  record_copy(to_shared, from, bytes, valid ? bytes : 0);
}
template <int still_open>
void wait_copies() {
  finish_copies(still_open);
}

void load_matrix(uint32_t (&r)[4], const void* row, EMULATOR_SITE);
void load_matrix(uint32_t (&r)[2], const void* row, EMULATOR_SITE);
void load_matrix_transposed(uint32_t (&r)[4], const void* row, EMULATOR_SITE);
void load_matrix_transposed(uint32_t (&r)[2], const void* row, EMULATOR_SITE);
void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], EMULATOR_SITE);
void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], EMULATOR_SITE);

inline uint32_t round_tf32(float x) { return (std::bit_cast<uint32_t>(x) + 0x1000u) & 0xffffe000u; }
inline uint32_t round_bf16(float low, float high) {
  auto rounded = [](float x) {
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    return std::isnan(x) ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  };
  return rounded(low) | rounded(high) << 16;
}
inline float exp2_fast(float x) {
  const float y = std::exp2(x);
  return y < 0x1p-126f ? 0.0f : off_by_an_ulp(y);
}

}  // namespace emulator::primitives
