// exp, log(1 + x) and tanh in straight-line arithmetic, so that compilers turn loops over them into vector code.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"

namespace gestalt {

// x, or the bound on its side of 0 where it is farther out. Not two comparisons with constants: gcc then computes all
// that follows three times over, once for each outcome.
GESTALT_HOST_DEVICE float clamp(float x, float bound) { return std::fabs(x) > bound ? std::copysign(bound, x) : x; }

// std::max and std::min by value: through their references gcc sees no vectors, and leaves a loop scalar.
template <class S>
GESTALT_HOST_DEVICE S larger(S a, S b) {
  return a < b ? b : a;
}
template <class S>
GESTALT_HOST_DEVICE S smaller(S a, S b) {
  return b < a ? b : a;
}

// e^x within 2 units in the last place; 0 below -87.7, clamped above 88.3.
GESTALT_HOST_DEVICE float fast_exp(float x) {
  x = clamp(x, 88.3f);  // there n is -127, whose power below has the bits of 0
  const float n = std::nearbyintf(x * 1.44269504088896341f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // x − n·ln 2 in two parts (Cody and Waite 1980)
  float p = 1.9875691500e-4f;                                   // minimax polynomial of Cephes' expf
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // 1.5·2²³ brings n to the last bits; a conversion to an integer would be undefined for NaN.
  return p * std::bit_cast<float>((std::bit_cast<uint32_t>(n + 12582912.0f) + 127u) << 23);
}
GESTALT_HOST_DEVICE double fast_exp(double x) { return std::exp(x); }

// log(1 + x) for x in [0, 1], within 2 units in the last place: 2·artanh(s) of s = x / (2 + x) ≤ 1/3 by its series,
// whose first term left out is s^14 / 15 of the whole.
GESTALT_HOST_DEVICE float fast_log1p(float x) {
  const float s = x / (2.0f + x), q = s * s;
  float p = 1.0f / 13;
  p = p * q + 1.0f / 11;
  p = p * q + 1.0f / 9;
  p = p * q + 1.0f / 7;
  p = p * q + 1.0f / 5;
  p = p * q + 1.0f / 3;
  return 2.0f * (s + s * q * p);
}
GESTALT_HOST_DEVICE double fast_log1p(double x) { return std::log1p(x); }

// log(x) of a normal positive x, within 2 units in the last place; of 0 and what is below the normal numbers a finite
// number near -88. x is 2^e·m with m in [√½, √2), and log(m) 2·artanh(s) of s = (m - 1) / (m + 1), |s| < 0.172.
GESTALT_HOST_DEVICE float fast_log(float x) {
  const auto above = static_cast<int32_t>(std::bit_cast<uint32_t>(x) - 0x3f3504f3u) >> 23;  // 0x3f3504f3 is √½
  const float m = std::bit_cast<float>(std::bit_cast<uint32_t>(x) - (static_cast<uint32_t>(above) << 23));
  const float f = m - 1.0f, s = f / (2.0f + f), q = s * s;
  float p = 1.0f / 9;
  p = p * q + 1.0f / 7;
  p = p * q + 1.0f / 5;
  p = p * q + 1.0f / 3;
  const float e = static_cast<float>(above);
  return e * 0.693359375f + (2.0f * (s + s * q * p) - e * 2.12194440e-4f);
}
// The same in f64, by more of the series; e comes out of the exponent's bits by way of 2⁵².
GESTALT_HOST_DEVICE double fast_log(double x) {
  // How far the exponent lies over 2^-1024 times √½, whose bits 0x3fe6a09e667f3bcd are.
  const uint64_t above = (std::bit_cast<uint64_t>(x) - 0x3fe6a09e667f3bcdu + (uint64_t{1024} << 52)) >> 52;
  const double m = std::bit_cast<double>(std::bit_cast<uint64_t>(x) - ((above - 1024) << 52));
  const double f = m - 1, s = f / (2 + f), q = s * s;
  double p = 1.0 / 21;
  p = p * q + 1.0 / 19;
  p = p * q + 1.0 / 17;
  p = p * q + 1.0 / 15;
  p = p * q + 1.0 / 13;
  p = p * q + 1.0 / 11;
  p = p * q + 1.0 / 9;
  p = p * q + 1.0 / 7;
  p = p * q + 1.0 / 5;
  p = p * q + 1.0 / 3;
  const double e = std::bit_cast<double>(above | 0x4330000000000000u) - (0x1p52 + 1024);
  return e * 0.693147180369123816490 + (2 * (s + s * q * p) + e * 1.90821492927058770002e-10);
}

// cos(2π·v) of v in [0, 1] within 2 units in the last place: of the nearest quarter of a turn and the rest of it, by
// the series of sine and cosine.
GESTALT_HOST_DEVICE double cos_of_turns(double v) {
  const double shifted = 4 * v + 0x1.8p52;  // whose last bits are the number of quarters
  const double r = (4 * v - (shifted - 0x1.8p52)) * 1.57079632679489661923, q = r * r;
  double cosine = 1.0 / 20922789888000;
  cosine = cosine * q - 1.0 / 87178291200;
  cosine = cosine * q + 1.0 / 479001600;
  cosine = cosine * q - 1.0 / 3628800;
  cosine = cosine * q + 1.0 / 40320;
  cosine = cosine * q - 1.0 / 720;
  cosine = cosine * q + 1.0 / 24;
  cosine = 1 - (0.5 - cosine * q) * q;
  double sine = -1.0 / 1307674368000;
  sine = sine * q + 1.0 / 6227020800;
  sine = sine * q - 1.0 / 39916800;
  sine = sine * q + 1.0 / 362880;
  sine = sine * q - 1.0 / 5040;
  sine = sine * q + 1.0 / 120;
  sine = r - (1.0 / 6 - sine * q) * q * r;
  const uint64_t quarters = std::bit_cast<uint64_t>(shifted);
  const double size = quarters & 1 ? sine : cosine;
  return (quarters + 1) & 2 ? -size : size;
}

GESTALT_HOST_DEVICE float fast_tanh(float x) {
  const float e = fast_exp(-2.0f * (x < 0 ? -x : x));
  const float t = (1.0f - e) / (1.0f + e);
  return x < 0 ? -t : t;
}
GESTALT_HOST_DEVICE double fast_tanh(double x) { return std::tanh(x); }

}  // namespace gestalt
