// Sine and cosine at once in straight-line arithmetic, so that compilers turn loops over them into vector code.
#pragma once

#include "kernels/math.h"

namespace gestalt {

template <class S>
struct SinCos {
  S sine, cosine;
};

// Both within 1.2e-7 for |x| up to 1000; an x beyond 65536 counts as that.
GESTALT_HOST_DEVICE SinCos<float> fast_sincos(float x) {
  x = clamp(x, 65536.0f);
  const float n = std::nearbyint(x * 0.636619772367581343f);
  // r = x − n·π/2 in three parts (Cody and Waite 1980), in [−π/4, π/4]; the products with the first two are exact.
  float r = x - n * 1.5703125f;
  r = r - n * 4.8375129699707031e-4f;
  r = r - n * 7.5497899487686480e-8f;
  const float q = r * r;
  // Their series, whose first terms left out are r^11 / 11! < 2e-9 and r^10 / 10! < 3e-8.
  float s = 1.0f / 362880;
  s = s * q - 1.0f / 5040;
  s = s * q + 1.0f / 120;
  s = s * q - 1.0f / 6;
  s = r + r * q * s;
  float c = 1.0f / 40320;
  c = c * q - 1.0f / 720;
  c = c * q + 1.0f / 24;
  c = c * q - 0.5f;
  c = 1.0f + q * c;
  // A quarter turn exchanges them, and one of them changes its sign.
  const auto quarter = static_cast<int32_t>(n);
  const bool odd = quarter & 1;
  const float sine = odd ? c : s, cosine = odd ? s : c;
  return {quarter & 2 ? -sine : sine, (quarter + 1) & 2 ? -cosine : cosine};
}
GESTALT_HOST_DEVICE SinCos<double> fast_sincos(double x) { return {std::sin(x), std::cos(x)}; }

}  // namespace gestalt
