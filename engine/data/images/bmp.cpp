// Reading BMP headers (Microsoft's BITMAPCOREHEADER to BITMAPV5HEADER, and OS/2's) and writing them anew.
#include "engine/data/images/bmp.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "engine/data/images/image_header.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint32_t run_length_8 = 1, run_length_4 = 2, bit_fields = 3, bit_fields_with_alpha = 6;

struct Header {
  uint32_t offset, bytes, bits, compression, colours;
  std::array<uint32_t, 4> masks;  // of red, green, blue and alpha
  int64_t height, width;
  bool top_down;

  bool runs() const { return compression == run_length_8 || compression == run_length_4; }
  bool fields() const { return compression == bit_fields || compression == bit_fields_with_alpha; }
  int64_t row() const { return (width * bits + 7) / 8; }
  int64_t stride() const { return (row() + 3) / 4 * 4; }
  // Where the palette begins: after masks that a header of 40 bytes has no room for.
  size_t palette() const {
    return size_t{14} + bytes + (bytes == 40 && fields() ? (compression == bit_fields ? 12 : 16) : 0);
  }
};

Header read_header(Bytes b) {
  Header h{};
  h.offset = little_endian(b, 10, 4), h.bytes = little_endian(b, 14, 4);
  const uint32_t known[] = {12, 40, 52, 56, 64, 108, 124};
  check(std::find(std::begin(known), std::end(known), h.bytes) != std::end(known),
        "is a BMP with a header of {} bytes, expected 12, 40, 52, 56, 64, 108 or 124", h.bytes);
  const bool old = h.bytes == 12;
  // Signed in all but the oldest; a negative height says that the top row comes first.
  const auto side = [&](size_t at) {
    return old ? int64_t{little_endian(b, at, 2)} : int64_t{static_cast<int32_t>(little_endian(b, at, 4))};
  };
  h.width = side(18), h.height = side(old ? 20 : 22);
  h.top_down = h.height < 0, h.height = std::abs(h.height);
  h.bits = little_endian(b, old ? 24 : 28, 2);
  h.compression = old ? 0 : little_endian(b, 30, 4);
  h.colours = old ? 0 : little_endian(b, 46, 4);
  check(h.width > 0 && h.width <= 1 << 24 && h.height > 0 && h.height <= 1 << 24, "is damaged: a BMP of {} x {} pixels",
        h.width, h.height);
  return h;
}

void read_masks(Bytes b, Header& h) {
  const size_t count = h.compression == bit_fields_with_alpha || h.bytes >= 56 ? 4 : 3;
  for (size_t i = 0; i < count; ++i) h.masks[i] = little_endian(b, 54 + 4 * i, 4);
}

void append(std::vector<uint8_t>& to, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i, value >>= 8) to.push_back(static_cast<uint8_t>(value));
}

// One byte of index a pixel, the bottom row first (Microsoft's "Bitmap compression"). Pixels that are stepped over are
// 0.
std::vector<uint8_t> unpack_runs(Bytes b, const Header& h) {
  std::vector<uint8_t> pixels(static_cast<size_t>(h.width * h.height), 0);
  const bool nibbles = h.compression == run_length_4;
  int64_t x = 0, y = 0;
  const auto put = [&](uint32_t index) {
    if (x < h.width && y < h.height) pixels[static_cast<size_t>(y * h.width + x)] = static_cast<uint8_t>(index);
    ++x;
  };
  const auto half = [](uint32_t byte, uint32_t i) { return i % 2 == 0 ? byte >> 4 : byte & 15; };
  for (size_t at = h.offset; y < h.height;) {
    if (at + 2 > b.size()) {
      check(y == h.height - 1 && x >= h.width, "is truncated: its runs end in row {} of {}", y + 1, h.height);
      break;
    }
    const uint32_t count = b[at], second = b[at + 1];
    at += 2;
    if (count > 0) {
      for (uint32_t i = 0; i < count; ++i) put(nibbles ? half(second, i) : second);
    } else if (second == 0) {
      x = 0, ++y;
    } else if (second == 1) {
      break;
    } else if (second == 2) {
      x += little_endian(b, at, 1), y += little_endian(b, at + 1, 1), at += 2;
    } else {
      const size_t length = nibbles ? (second + 1) / 2 : second;
      check(at + length <= b.size(), "is truncated: its runs end in row {} of {}", y + 1, h.height);
      for (uint32_t i = 0; i < second; ++i) put(nibbles ? half(b[at + i / 2], i) : b[at + i]);
      at += length + length % 2;
    }
  }
  return pixels;
}

void append_palette(std::vector<uint8_t>& to, Bytes b, const Header& h, uint32_t wanted) {
  const size_t entry = h.bytes == 12 ? 3 : 4, begin = h.palette();
  size_t stored = h.offset > begin ? (h.offset - begin) / entry : 0;
  if (h.colours > 0) stored = std::min<size_t>(stored, h.colours);
  check(stored >= 1, "is damaged: a BMP of {} bits without a palette", h.bits);
  for (size_t i = 0; i < wanted; ++i)
    for (size_t c = 0; c < 4; ++c) to.push_back(i < stored && c < 3 ? b[begin + i * entry + c] : uint8_t{0});
}

}  // namespace

ImageSize bmp_size(Bytes bytes) {
  const Header h = read_header(bytes);
  return {ImageFormat::bmp, static_cast<int32_t>(h.height), static_cast<int32_t>(h.width)};
}

PlainBmp plain_bmp(Bytes b) {
  Header h = read_header(b);
  check(h.bits == 1 || h.bits == 4 || h.bits == 8 || h.bits == 16 || h.bits == 24 || h.bits == 32,
        "is a BMP of {} bits a pixel, expected 1, 4, 8, 16, 24 or 32", h.bits);
  const bool runs = h.runs() && h.bits == (h.compression == run_length_8 ? 8 : 4) && !h.top_down;
  check(h.compression == 0 || runs || (h.fields() && h.bits >= 16 && h.bits != 24),
        "is a BMP of compression {}, which is not read; convert it to PNG", h.compression);
  if (h.fields()) read_masks(b, h);
  check(h.offset >= h.palette() && h.offset <= b.size(), "is damaged: its pixels begin at byte {}", h.offset);
  const int64_t end = static_cast<int64_t>(h.offset) + h.stride() * (h.height - 1) + h.row();
  check(runs || end <= static_cast<int64_t>(b.size()), "is truncated: {} bytes are missing",
        end - static_cast<int64_t>(b.size()));
  const std::vector<uint8_t> indices = runs ? unpack_runs(b, h) : std::vector<uint8_t>();
  const uint32_t bits = runs ? 8 : h.bits, colours = bits <= 8 ? 1u << bits : 0, header = h.fields() ? 108 : 40;
  PlainBmp plain{{'B', 'M'}, h.fields() && h.masks[3] != 0};
  std::vector<uint8_t>& to = plain.bytes;
  append(to, 0, 8);  // neither the file's size nor what is reserved is read
  append(to, 14 + header + 4 * colours, 4);
  append(to, header, 4), append(to, static_cast<uint32_t>(h.width), 4);
  append(to, static_cast<uint32_t>(h.top_down ? -h.height : h.height), 4);
  append(to, 1, 2), append(to, bits, 2), append(to, h.fields() ? bit_fields : 0, 4);
  append(to, 0, 4), append(to, 0, 4), append(to, 0, 4), append(to, 0, 4), append(to, 0, 4);
  if (h.fields())
    for (uint32_t mask : h.masks) append(to, mask, 4);
  to.resize(14 + header, 0);
  if (colours > 0) append_palette(to, b, h, colours);
  if (runs) {
    for (int64_t y = 0; y < h.height; ++y) {
      to.insert(to.end(), indices.begin() + y * h.width, indices.begin() + (y + 1) * h.width);
      append(to, 0, static_cast<int>(-h.width & 3));
    }
  } else {
    to.insert(to.end(), b.begin() + h.offset, b.begin() + end);
    append(to, 0, static_cast<int>(h.stride() - h.row()));
  }
  return plain;
}

}  // namespace gestalt
