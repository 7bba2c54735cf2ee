// Between bf16 and f32, for processors that do not multiply bf16.
#include "kernels/cpu/bf16.h"

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/write.h"

namespace gestalt::kernels::cpu {

bool multiplies_bf16() {
  static const bool multiplies = onednn::has_bf16_instructions();
  return multiplies;
}

In widen(In from, int64_t count, float* to) {
  const uint16_t* bits = &from.as<BFloat16>()->bits;
  parallel_ranges(count, 1 << 14, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) to[i] = std::bit_cast<float>(static_cast<uint32_t>(bits[i]) << 16);
  });
  return {to, DType::f32};
}

void narrow(const float* from, int64_t count, Out to) {
  auto* y = to.as<BFloat16>();
  parallel_ranges(count, 1 << 14,
                  [&](int64_t begin, int64_t end) { round_range(from + begin, end - begin, y + begin); });
}

}  // namespace gestalt::kernels::cpu
