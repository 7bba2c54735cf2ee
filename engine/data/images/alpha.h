// Pixels with alpha as they look on white paper.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gestalt {

// Rows of RGBA → rows of RGB, in place, to the nearest of 255 steps.
inline void blend_over_white(std::vector<uint8_t>& pixels) {
  const size_t count = pixels.size() / 4;
  for (size_t i = 0; i < count; ++i) {
    const int alpha = pixels[4 * i + 3];
    for (size_t c = 0; c < 3; ++c)
      pixels[3 * i + c] = static_cast<uint8_t>((pixels[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
  pixels.resize(3 * count);
}

}  // namespace gestalt
