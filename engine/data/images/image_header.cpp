// Reads sizes from the headers of image files.
#include "engine/data/images/image_header.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "engine/data/images/bmp.h"
#include "engine/data/images/gif.h"
#include "engine/data/images/more_formats.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint8_t png_magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

// Walks the segments to the frame header (ITU-T T.81, B.2.2).
ImageSize jpeg_size(Bytes b) {
  for (size_t at = next_jpeg_marker(b, 2);; at = next_jpeg_marker(b, at)) {
    check(at < b.size(), "is damaged: it ends within its header");
    const uint32_t marker = b[at++];
    if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue;
    check(marker != 0xd9 && marker != 0xda, "is damaged: a JPEG without a frame header");
    if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc)
      return {ImageFormat::jpeg, static_cast<int32_t>(big_endian(b, at + 3, 2)),
              static_cast<int32_t>(big_endian(b, at + 5, 2))};
    const uint32_t length = big_endian(b, at, 2);
    check(length >= 2, "is damaged: a JPEG segment of length {}", length);
    at += length;
  }
}

ImageSize png_size(Bytes b) {
  check(b.size() >= 33, "is damaged: it ends within its header");
  check(big_endian(b, 8, 4) == 13 && std::memcmp(b.data() + 12, "IHDR", 4) == 0, "is damaged: a PNG without a header");
  const uint32_t width = big_endian(b, 16, 4), height = big_endian(b, 20, 4);
  check(width <= 1u << 24 && height <= 1u << 24, "is damaged: a PNG of {} x {} pixels", width, height);
  return {ImageFormat::png, static_cast<int32_t>(height), static_cast<int32_t>(width)};
}

}  // namespace

uint32_t big_endian(Bytes b, size_t at, int count) {
  check(at + static_cast<size_t>(count) <= b.size(), "is damaged: it ends within its header");
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | b[at + i];
  return value;
}

uint32_t little_endian(Bytes b, size_t at, int count) {
  check(at + static_cast<size_t>(count) <= b.size(), "is damaged: it ends within its header");
  uint32_t value = 0;
  for (int i = count; i-- > 0;) value = value << 8 | b[at + i];
  return value;
}

size_t next_jpeg_marker(Bytes b, size_t at) {
  for (;; ++at) {
    while (at < b.size() && b[at] != 0xff) ++at;
    while (at < b.size() && b[at] == 0xff) ++at;
    if (at >= b.size() || b[at] != 0) return std::min(at, b.size());  // 0: a 0xff of data
  }
}

ImageSize read_image_size(Bytes b) {
  check(!b.empty(), "is empty");
  ImageSize size{};
  if (b.size() >= 3 && b[0] == 0xff && b[1] == 0xd8 && b[2] == 0xff)
    size = jpeg_size(b);
  else if (b.size() >= 8 && std::memcmp(b.data(), png_magic, 8) == 0)
    size = png_size(b);
  else if (b.size() >= 2 && b[0] == 'B' && b[1] == 'M')
    size = bmp_size(b);
  else if (b.size() >= 10 && (std::memcmp(b.data(), "GIF87a", 6) == 0 || std::memcmp(b.data(), "GIF89a", 6) == 0))
    size = gif_size(b);
  else if (const OtherSize other = size_of_other(b); other.known)
    size = other.size;
  else
    fail("is not an image file of a format that is read ({})", fmt::join(image_formats(), ", "));
  check(size.height > 0 && size.width > 0, "is damaged: it says it is {} x {} pixels", size.width, size.height);
  return size;
}

void check_plausible(Bytes bytes, ImageSize size, int64_t max_pixels) {
  const int64_t pixels = static_cast<int64_t>(size.height) * size.width;
  check(pixels <= max_pixels, "is {} x {} pixels, more than the limit of {} million", size.width, size.height,
        max_pixels / 1'000'000);
  // Those predict whole blocks and pictures from next to nothing.
  if (size.format == ImageFormat::webp || size.format == ImageFormat::tiff || size.format == ImageFormat::heif) return;
  // Deflate shrinks at most 1032-fold and has at least a bit a pixel; a JPEG block of 64 pixels takes at least a bit; a
  // GIF's code of 12 bits stands for at most 4096 pixels.
  const int64_t most_per_byte = size.format == ImageFormat::jpeg ? 64 * 8 : 1032 * 8;
  check(pixels <= 65'536 + most_per_byte * static_cast<int64_t>(bytes.size()),
        "is damaged: {} bytes cannot hold {} x {} pixels", bytes.size(), size.width, size.height);
}

}  // namespace gestalt
