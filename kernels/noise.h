// Normal noise from counter-based random numbers: what generators make images from.
#pragma once

#include <cmath>
#include <numbers>

#include "kernels/philox.h"
#include "kernels/varying.h"

namespace gestalt::kernels {

// Numbers 2·pair and 2·pair + 1 of a sample's normal numbers (Box and Muller 1958): a block of Philox serves both.
struct NormalPair {
  float first, second;
};
GESTALT_HOST_DEVICE NormalPair normal_pair(uint64_t seed, Use use, uint64_t step, uint32_t sample, uint32_t pair) {
  const Philox4 r = draw(seed, use, step, sample, pair);
  // 24 bits each; the first is never 0.
  const float u = (static_cast<float>(r.word[0] >> 8) + 0.5f) * 0x1p-24f;
  const float angle = 2 * std::numbers::pi_v<float> * uniform(r.word[1]);
  const float length = sqrtf(-2 * logf(u));
  return {length * cosf(angle), length * sinf(angle)};
}

// y[i, j] = number j of the noise of sample samples[i] at `step`, from N(0, 1).
struct NormalNoise {
  In samples;  // i32 (rows)
  Out y;       // (rows, columns)
  int64_t rows, columns;
  uint64_t seed;
  Varying<uint64_t> step;
};
GESTALT_KERNEL(NormalNoise)
inline Cost cost(const NormalNoise& k) { return {.bytes = traffic(k.rows * k.columns, k.y)}; }

}  // namespace gestalt::kernels
