// Image formats that are read where their library was there when the program was built: WebP, TIFF, HEIC and AVIF.
#pragma once

#include <string>
#include <vector>

#include "engine/data/images/image_codec.h"

namespace gestalt {

// Size of a file that begins as one of these, else a format that is not among them. Throws for damage, and for a format
// whose library is not there, with what to install.
struct OtherSize {
  bool known = false;
  ImageSize size{};
};
OtherSize size_of_other(std::span<const uint8_t> bytes);

// The size alone, of a file that is known to be of the format.
ImageSize webp_size(std::span<const uint8_t> bytes);
ImageSize tiff_size(std::span<const uint8_t> bytes);
ImageSize heif_size(std::span<const uint8_t> bytes);

// How a TIFF has to be turned, as EXIF says it: 1 to 8.
int tiff_orientation(std::span<const uint8_t> bytes);

// Whole files, the first picture of several; alpha is blended over white. `size` is what size_of_other() gave. The
// library turns HEIC and AVIF upright itself.
Image decode_webp(std::span<const uint8_t> bytes, ImageSize size);
Image decode_tiff(std::span<const uint8_t> bytes, ImageSize size);
Image decode_heif(std::span<const uint8_t> bytes, ImageSize size);

// All that decode_image() reads, for people: "JPEG, PNG, …".
std::vector<std::string> image_formats();

}  // namespace gestalt
