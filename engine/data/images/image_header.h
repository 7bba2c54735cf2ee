// What image files say about themselves, checked before a decoder sees them.
#pragma once

#include <cstddef>
#include <span>

#include "engine/data/images/image_codec.h"

namespace gestalt {

// Throws unless a file this long can hold so many pixels, and they are at most `max_pixels`.
void check_plausible(std::span<const uint8_t> bytes, ImageSize, int64_t max_pixels);

// Check palette and pixel extents (BMP), or that the first picture is whole (GIF), so that damage which stb overlooks
// is found. They return how many bytes stb may need at once.
size_t check_bmp(std::span<const uint8_t> bytes);
size_t check_gif(std::span<const uint8_t> bytes);

}  // namespace gestalt
