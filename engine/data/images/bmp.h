// BMP files in the plain form that stb reads: any header, palette, gap and run-length compression become one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/data/images/image_codec.h"

namespace gestalt {

// Of a file that begins with "BM". Throws for damage.
ImageSize bmp_size(std::span<const uint8_t> bytes);

struct PlainBmp {
  std::vector<uint8_t> bytes;  // a header, a palette of all colours, all rows
  bool has_alpha;
};

// The same picture. What names a colour that is not there is black, as elsewhere. Throws where rows are missing.
PlainBmp plain_bmp(std::span<const uint8_t> bytes);

}  // namespace gestalt
