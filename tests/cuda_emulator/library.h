// What the emulated libraries share: operands widened to f32, and results narrowed back.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/cuda_emulator/include/cuda_bf16.h"
#include "tests/cuda_emulator/memory.h"

namespace emulator {

// The least workspace that the emulated libraries ask for, so that a caller who gives none is found out.
constexpr size_t library_workspace = 512;

inline std::vector<float> widen(const void* data, bool bf16, size_t count, const char* what) {
  check_range(data, count * (bf16 ? 2 : 4), what);
  std::vector<float> wide(count);
  if (!bf16) {
    std::memcpy(wide.data(), data, count * 4);
  } else {
    for (size_t i = 0; i < count; ++i) wide[i] = __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
  }
  return wide;
}

inline void narrow(const std::vector<float>& wide, void* data, bool bf16, const char* what) {
  check_range(data, wide.size() * (bf16 ? 2 : 4), what);
  if (!bf16) {
    std::memcpy(data, wide.data(), wide.size() * 4);
  } else {
    for (size_t i = 0; i < wide.size(); ++i) static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16_rn(wide[i]);
  }
}

// c (rows, columns) = a_op · b_op + beta · c, row-major; a_op is (rows, inner), or a is its transpose.
void multiply(bool transpose_a, bool transpose_b, int64_t rows, int64_t columns, int64_t inner, float alpha,
              const float* a, int64_t a_leading, const float* b, int64_t b_leading, float beta, float* c,
              int64_t c_leading);

}  // namespace emulator
