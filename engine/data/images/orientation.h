// Which way up a picture is: the EXIF tag that cameras write instead of turning the pixels.
#pragma once

#include "engine/data/images/image_codec.h"

namespace gestalt {

// The orientation, 1 to 8, in the EXIF block of a JPEG or PNG file; 1 (upright) where there is none, or a broken one.
int read_orientation(std::span<const uint8_t> file, ImageFormat);

// The image upright: mirrored and turned as `orientation` says (CIPA DC-008, tag 0x0112).
Image upright(Image, int orientation);

}  // namespace gestalt
