// exp, tanh and erf in straight-line arithmetic, so that compilers turn loops over them into vector code.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"

namespace gestalt {

// e^x within 2 units in the last place; 0 below -87.3, clamped above 88.3.
GESTALT_HOST_DEVICE float fast_exp(float x) {
  x = x < -87.3f ? -87.3f : (x > 88.3f ? 88.3f : x);
  const float n = std::nearbyintf(x * 1.44269504088896341f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // x − n·ln 2 in two parts (Cody and Waite 1980)
  float p = 1.9875691500e-4f;  // minimax polynomial of Cephes' expf
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}
GESTALT_HOST_DEVICE double fast_exp(double x) { return std::exp(x); }

GESTALT_HOST_DEVICE float fast_tanh(float x) {
  const float e = fast_exp(-2.0f * (x < 0 ? -x : x));
  const float t = (1.0f - e) / (1.0f + e);
  return x < 0 ? -t : t;
}
GESTALT_HOST_DEVICE double fast_tanh(double x) { return std::tanh(x); }

// erf within 1.5e-7 (Abramowitz and Stegun 7.1.26).
GESTALT_HOST_DEVICE float fast_erf(float x) {
  const float a = x < 0 ? -x : x;
  const float t = 1.0f / (1.0f + 0.3275911f * a);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float y = 1.0f - p * t * fast_exp(-a * a);
  return x < 0 ? -y : y;
}
GESTALT_HOST_DEVICE double fast_erf(double x) { return std::erf(x); }

}  // namespace gestalt
