// Image files to uint8 pixels and back: JPEG, PNG, BMP, GIF and what more_formats.h says are read, PNG is written.
//
// Every byte is untrusted: sizes are checked before memory is asked for, and anything but a whole, valid file is an
// Error that names the reason. The caller adds the file's name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gestalt {

// Rows of RGB, `height * width * 3` bytes.
struct Image {
  std::vector<uint8_t> pixels;
  int32_t height = 0, width = 0;
};

enum class ImageFormat : uint8_t { jpeg, png, bmp, gif, webp, tiff, heif };

struct ImageSize {
  ImageFormat format;
  int32_t height, width;
};

struct DecodeOptions {
  // Images whose short side is longer are shrunk (antialiased) to it, keeping the aspect; 0 keeps the stored size.
  int32_t short_side = 0;
  // Cuts out the centre square and scales it, also up, to short_side × short_side, in one step from the stored pixels.
  bool crop = false;
  int64_t max_pixels = 100'000'000;
};

// Format (by magic bytes) and stored size, from a file's first bytes. 64 KiB suffice for all but odd JPEGs, TIFF, HEIC
// and AVIF, which tell their size anywhere.
ImageSize read_image_size(std::span<const uint8_t> bytes);

// The size that decode_image gives an image of stored size `stored`, before it is turned upright.
ImageSize decoded_size(ImageSize stored, const DecodeOptions&);

// Pixels as Pillow's convert("RGB") gives them: grey and CMYK become RGB, and of 16 bits the upper 8 are kept; but
// alpha is blended over white, for what stands behind it in a file is noise. Turned upright by its EXIF orientation.
// Unless `crop` is set, a JPEG is shrunk by up to 8 in the frequency domain first.
Image decode_image(std::span<const uint8_t> bytes, const DecodeOptions& = {});

// Applies short_side and crop to pixels: a triangle filter as wide as the shrink factor, as in Pillow's BILINEAR.
Image resize_image(Image, const DecodeOptions&);

// `height * width * 3` bytes of RGB as a PNG file: in memory, or written to `path`.
std::string encode_png(const uint8_t* pixels, int32_t height, int32_t width);
void write_png(const std::string& path, const uint8_t* pixels, int32_t height, int32_t width);

}  // namespace gestalt
