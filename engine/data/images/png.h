// PNG files to rows of RGB and back, through libspng.
#pragma once

#include "engine/data/images/image_codec.h"

namespace gestalt {

// A whole file of `size`, the size in its header. Of 16 bits a channel the upper 8 are kept; alpha, also of a palette
// or of one transparent colour, is blended over white; gamma and colour profiles are passed over. A missing pixel, a
// chunk whose checksum differs, and a file without its end are Errors. Beside the pixels it takes memory for some rows,
// and no more than 16 MiB for what else stands in the file.
Image decode_png(std::span<const uint8_t> bytes, ImageSize size);

}  // namespace gestalt
