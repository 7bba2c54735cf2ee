// What image files say about themselves, checked before a decoder sees them.
#pragma once

#include <cstddef>
#include <span>

#include "engine/data/images/image_codec.h"

namespace gestalt {

// Throws unless a file this long can hold so many pixels, and they are at most `max_pixels`.
void check_plausible(std::span<const uint8_t> bytes, ImageSize, int64_t max_pixels);

// A number of up to 4 bytes of an untrusted header. Throw where it ends before them.
uint32_t big_endian(std::span<const uint8_t> bytes, size_t at, int count);
uint32_t little_endian(std::span<const uint8_t> bytes, size_t at, int count);

// The place of the next JPEG marker's code, from `at` on and past bytes that belong to none, as libjpeg looks for it;
// the end where there is none.
size_t next_jpeg_marker(std::span<const uint8_t> bytes, size_t at);

}  // namespace gestalt
