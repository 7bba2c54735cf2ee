// Reads sizes from the headers of image files, and checks BMP and GIF files whole.
#include "engine/data/images/image_header.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "engine/data/images/more_formats.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint8_t png_magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

uint32_t big(Bytes b, size_t at, int bytes) {
  check(at + bytes <= b.size(), "is damaged: it ends within its header");
  uint32_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | b[at + i];
  return value;
}

uint32_t little(Bytes b, size_t at, int bytes) {
  check(at + bytes <= b.size(), "is damaged: it ends within its header");
  uint32_t value = 0;
  for (int i = bytes; i-- > 0;) value = value << 8 | b[at + i];
  return value;
}

// Walks the segments to the frame header (ITU-T T.81, B.2.2).
ImageSize jpeg_size(Bytes b) {
  for (size_t at = 2;;) {
    check(big(b, at, 1) == 0xff, "is damaged: a JPEG marker is missing at byte {}", at);
    const uint32_t marker = big(b, at + 1, 1);
    if (marker == 0xff) {
      ++at;
    } else if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2;
    } else {
      check(marker != 0xd9 && marker != 0xda, "is damaged: a JPEG without a frame header");
      if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc)
        return {ImageFormat::jpeg, static_cast<int32_t>(big(b, at + 5, 2)), static_cast<int32_t>(big(b, at + 7, 2))};
      const uint32_t length = big(b, at + 2, 2);
      check(length >= 2, "is damaged: a JPEG segment of length {}", length);
      at += 2 + length;
    }
  }
}

ImageSize png_size(Bytes b) {
  check(b.size() >= 33, "is damaged: it ends within its header");
  check(big(b, 8, 4) == 13 && std::memcmp(b.data() + 12, "IHDR", 4) == 0, "is damaged: a PNG without a header");
  const uint32_t width = big(b, 16, 4), height = big(b, 20, 4);
  check(width <= 1u << 24 && height <= 1u << 24, "is damaged: a PNG of {} x {} pixels", width, height);
  return {ImageFormat::png, static_cast<int32_t>(height), static_cast<int32_t>(width)};
}

struct BmpHeader {
  uint32_t offset, header_bytes, bits, compression;
  int64_t height, width;
};

BmpHeader bmp_header(Bytes b) {
  BmpHeader h{little(b, 10, 4), little(b, 14, 4), 0, 0, 0, 0};
  const bool old = h.header_bytes == 12;
  check(old || h.header_bytes == 40 || h.header_bytes == 56 || h.header_bytes == 108 || h.header_bytes == 124,
        "is a BMP with a header of {} bytes, expected 12, 40, 56, 108 or 124", h.header_bytes);
  // Signed in all but the oldest; a negative height says that the top row comes first.
  h.width = old ? int64_t{little(b, 18, 2)} : int64_t{static_cast<int32_t>(little(b, 18, 4))};
  h.height = old ? int64_t{little(b, 20, 2)} : int64_t{static_cast<int32_t>(little(b, 22, 4))};
  h.bits = little(b, old ? 24 : 28, 2);
  h.compression = old ? 0 : little(b, 30, 4);
  h.height = std::abs(h.height);
  check(h.width > 0 && h.width <= 1 << 24 && h.height > 0 && h.height <= 1 << 24, "is damaged: a BMP of {} x {} pixels",
        h.width, h.height);
  return h;
}

// Every index of a paletted BMP must name a colour.
void check_bmp_indices(Bytes b, const BmpHeader& h, int64_t stride, uint32_t colours) {
  if (colours >= 1u << h.bits) return;
  const uint32_t mask = (1u << h.bits) - 1, per_byte = 8 / h.bits;
  for (int64_t y = 0; y < h.height; ++y) {
    const uint8_t* row = b.data() + h.offset + y * stride;
    for (int64_t x = 0; x < h.width; ++x) {
      const uint32_t shift = 8 - h.bits * (x % per_byte + 1);
      check(((row[x / per_byte] >> shift) & mask) < colours, "is damaged: a pixel names a colour beyond the {} it has",
            colours);
    }
  }
}

}  // namespace

ImageSize read_image_size(Bytes b) {
  check(!b.empty(), "is empty");
  ImageSize size{};
  if (b.size() >= 3 && b[0] == 0xff && b[1] == 0xd8 && b[2] == 0xff)
    size = jpeg_size(b);
  else if (b.size() >= 8 && std::memcmp(b.data(), png_magic, 8) == 0)
    size = png_size(b);
  else if (b.size() >= 2 && b[0] == 'B' && b[1] == 'M')
    size = {ImageFormat::bmp, static_cast<int32_t>(bmp_header(b).height), static_cast<int32_t>(bmp_header(b).width)};
  else if (b.size() >= 10 && (std::memcmp(b.data(), "GIF87a", 6) == 0 || std::memcmp(b.data(), "GIF89a", 6) == 0))
    size = {ImageFormat::gif, static_cast<int32_t>(little(b, 8, 2)), static_cast<int32_t>(little(b, 6, 2))};
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

// Walks the blocks (GIF89a specification, sections 18 to 25) to the end of the first picture.
size_t check_gif(Bytes b) {
  const auto colours = [](uint32_t flags) { return flags & 0x80 ? size_t{3} << ((flags & 7) + 1) : size_t{0}; };
  const auto after_blocks = [&](size_t at) {
    for (uint32_t length = big(b, at, 1); length > 0; length = big(b, at, 1)) at += 1 + length;
    return at + 1;
  };
  size_t at = 13 + colours(big(b, 10, 1));
  for (uint32_t kind = big(b, at, 1); kind != 0x2c; kind = big(b, at, 1)) {
    check(kind == 0x21, "is damaged: a GIF without a picture");
    at = after_blocks(at + 2);
  }
  const uint32_t left = little(b, at + 1, 2), top = little(b, at + 3, 2), width = little(b, at + 5, 2),
                 height = little(b, at + 7, 2);
  check(left + width <= little(b, 6, 2) && top + height <= little(b, 8, 2),
        "is damaged: a GIF whose picture is larger than itself");
  after_blocks(at + 11 + colours(big(b, at + 9, 1)));
  return (size_t{1} << 20) + size_t{16} * little(b, 6, 2) * little(b, 8, 2);
}

size_t check_bmp(Bytes b) {
  const BmpHeader h = bmp_header(b);
  check(h.bits == 1 || h.bits == 4 || h.bits == 8 || h.bits == 16 || h.bits == 24 || h.bits == 32,
        "is a BMP of {} bits a pixel, expected 1, 4, 8, 16, 24 or 32", h.bits);
  check(h.compression == 0 || (h.compression == 3 && h.bits >= 16), "is a compressed BMP; convert it to PNG");
  check(h.offset >= 14 + h.header_bytes && h.offset <= b.size(), "is damaged: its pixels begin at byte {}", h.offset);
  const int64_t stride = (h.width * h.bits + 31) / 32 * 4;
  const int64_t missing = static_cast<int64_t>(h.offset) + stride * h.height - static_cast<int64_t>(b.size());
  check(missing <= 0, "is truncated: {} bytes are missing", missing);
  if (h.bits <= 8) {
    const uint32_t colours = (h.offset - 14 - h.header_bytes) / (h.header_bytes == 12 ? 3 : 4);
    check(colours >= 1 && colours <= 256, "is damaged: a BMP palette of {} colours", colours);
    check_bmp_indices(b, h, stride, colours);
  }
  return (size_t{1} << 20) + static_cast<size_t>(h.height * h.width) * 8;
}

}  // namespace gestalt
