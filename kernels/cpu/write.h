// Writing a range of results, rounded by the processor where they are bf16 and it can.
#pragma once

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include <algorithm>
#include <type_traits>

#include "kernels/memory.h"

namespace gestalt::kernels::cpu {

// to[i] = from[i] as BFloat16::round has it, except that by the processor what is below the normal range becomes 0.
inline void round_range(const float* from, int64_t count, BFloat16* to) {
#ifdef __AVX512BF16__
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {  // as much as what reads it takes at once, or that would wait for the stores
    const __m512bh rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i));
    _mm512_storeu_si512(to + i, reinterpret_cast<const __m512i&>(rounded));
  }
  if (i + 16 <= count) {  // without a mask, whose stores some processors take apart
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(from + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), reinterpret_cast<const __m256i&>(rounded));
    i += 16;
  }
  if (i < count) {
    const auto mask = static_cast<__mmask16>((1 << (count - i)) - 1);
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from + i));
    _mm256_mask_storeu_epi16(to + i, mask, reinterpret_cast<const __m256i&>(rounded));
  }
#else
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) store(&to[i], from[i]);
#endif
}

// y[i] = f(i) for i in [begin, end), in vectors. Compilers know no conversion to bf16: it takes a second pass, over
// blocks in the innermost cache.
template <class T, class F>
void write_range(T* y, int64_t begin, int64_t end, F&& f) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    constexpr int64_t block = 512;
    float results[block];
    for (int64_t first = begin; first < end; first += block) {
      const int64_t count = std::min(block, end - first);
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) results[i] = f(first + i);
      round_range(results, count, y + first);
    }
  } else {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) store(&y[i], f(i));
  }
}

}  // namespace gestalt::kernels::cpu
