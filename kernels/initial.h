// What weights begin with: normal numbers of one tensor of a model, made on the CPU, from where any device has them.
#pragma once

#include "kernels/cpu/level.h"
#include "kernels/math.h"
#include "kernels/philox.h"

namespace gestalt::kernels {

// Number `element` of a tensor's normal numbers, the model's `number`th tensor, from two words of a block (Box and
// Muller 1958); `attempt` draws it again. All of it is straight-line f64 arithmetic: compiled without contracted
// products it has the same bits on every processor.
GESTALT_HOST_DEVICE double normal_of(uint32_t first, uint32_t second) {
  return std::sqrt(-2 * fast_log((first + 0.5) * 0x1p-32)) * cos_of_turns((second + 0.5) * 0x1p-32);
}

// y[i] = mean + deviation · z[i] with z[i] from N(0, 1), `truncated`: drawn again until |z[i]| ≤ 2.
struct NormalWeights {
  float* y;       // (count)
  int64_t count;  // at most 2³²
  uint64_t seed, number;
  double mean, deviation;
  bool truncated;
};
GESTALT_ON_CPU_DECLARE(void run(const NormalWeights&))
inline void run_on_cpu(const NormalWeights& k) { GESTALT_ON_CPU(run(k)); }

}  // namespace gestalt::kernels
