// Finding one EXIF tag among untrusted bytes, and turning pixels by it.
#include "engine/data/images/orientation.h"

#include <cstring>

#include "engine/data/images/image_header.h"
#include "engine/data/images/more_formats.h"

namespace gestalt {
namespace {

using Bytes = std::span<const uint8_t>;

bool begins_with(Bytes b, const char* text, size_t length) {
  return b.size() >= length && std::memcmp(b.data(), text, length) == 0;
}

// A number of `bytes` bytes, or 0 where they are missing.
uint32_t number(Bytes b, size_t at, size_t bytes, bool little) {
  if (at > b.size() || bytes > b.size() - at) return 0;
  uint32_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | b[at + (little ? bytes - 1 - i : i)];
  return value;
}

// The tag in a TIFF block: byte order, 42, the place of the first directory; its entries of 12 bytes.
int orientation_in(Bytes tiff) {
  const bool little = begins_with(tiff, "II*\0", 4);
  if (!little && !begins_with(tiff, "MM\0*", 4)) return 1;
  const size_t directory = number(tiff, 4, 4, little), entries = number(tiff, directory, 2, little);
  for (size_t i = 0; i < entries; ++i) {
    const size_t at = directory + 2 + 12 * i;
    if (at + 12 > tiff.size()) return 1;
    if (number(tiff, at, 2, little) != 0x0112) continue;
    const uint32_t type = number(tiff, at + 2, 2, little);  // 3: two bytes, 4: four
    const uint32_t value = number(tiff, at + 8, type == 4 ? 4 : 2, little);
    return (type == 3 || type == 4) && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

// The first EXIF segment before the pixels.
Bytes exif_of_jpeg(Bytes b) {
  for (size_t at = next_jpeg_marker(b, 2); at < b.size(); at = next_jpeg_marker(b, at)) {
    const uint8_t marker = b[at++];
    if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue;
    const size_t length = number(b, at, 2, false);
    if (marker == 0xd9 || marker == 0xda || length < 2 || length > b.size() - at) return {};
    const Bytes segment = b.subspan(at + 2, length - 2);
    if (marker == 0xe1 && begins_with(segment, "Exif\0\0", 6)) return segment.subspan(6);
    at += length;
  }
  return {};
}

Bytes exif_of_png(Bytes b) {
  for (size_t at = 8; at + 12 <= b.size();) {
    const size_t length = number(b, at, 4, false);
    if (length > b.size() - at - 12) return {};
    if (begins_with(b.subspan(at + 4), "eXIf", 4)) return b.subspan(at + 8, length);
    at += 12 + length;
  }
  return {};
}

// Chunks of a RIFF file, each filled up to an even length.
Bytes exif_of_webp(Bytes b) {
  for (size_t at = 12; at + 8 <= b.size();) {
    const size_t length = number(b, at + 4, 4, true);
    if (length > b.size() - at - 8) return {};
    if (begins_with(b.subspan(at), "EXIF", 4)) {
      const Bytes chunk = b.subspan(at + 8, length);
      return begins_with(chunk, "Exif\0\0", 6) ? chunk.subspan(6) : chunk;
    }
    at += 8 + length + length % 2;
  }
  return {};
}

}  // namespace

int read_orientation(Bytes file, ImageFormat format) {
  switch (format) {
    case ImageFormat::jpeg:
      return orientation_in(exif_of_jpeg(file));
    case ImageFormat::png:
      return orientation_in(exif_of_png(file));
    case ImageFormat::webp:
      return orientation_in(exif_of_webp(file));
    case ImageFormat::tiff:
      return tiff_orientation(file);
    default:
      return 1;
  }
}

Image upright(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool turned = orientation >= 5, from_right = orientation == 2 || orientation == 3 || orientation >= 7,
             from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const int32_t height = turned ? image.width : image.height, width = turned ? image.height : image.width;
  Image result{std::vector<uint8_t>(image.pixels.size()), height, width};
  uint8_t* to = result.pixels.data();
  for (int32_t y = 0; y < height; ++y)
    for (int32_t x = 0; x < width; ++x, to += 3) {
      const int32_t row = turned ? x : y, column = turned ? y : x;
      const int64_t source_row = from_bottom ? image.height - 1 - row : row;
      const int64_t source_column = from_right ? image.width - 1 - column : column;
      std::memcpy(to, image.pixels.data() + 3 * (source_row * image.width + source_column), 3);
    }
  return result;
}

}  // namespace gestalt
