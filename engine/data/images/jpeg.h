// JPEG files to rows of RGB through libjpeg-turbo: every sampling and colour space that it knows.
#pragma once

#include "engine/data/images/image_codec.h"

namespace gestalt {

// Decodes a whole file to 1/divisor of its size (1, 2, 4 or 8), rounded up. CMYK and YCCK become RGB as in Pillow: with
// stored values inverted, as Adobe's programs write them. What libjpeg only warns of is accepted; pixels that are
// missing because the file ends too early are an Error, and so is a file without its end.
Image decode_jpeg(std::span<const uint8_t> bytes, int divisor);

}  // namespace gestalt
