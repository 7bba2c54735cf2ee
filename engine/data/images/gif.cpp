// Walking a GIF's blocks (GIF89a specification, sections 18 to 25).
#include "engine/data/images/gif.h"

#include <algorithm>

#include "engine/data/images/alpha.h"
#include "engine/data/images/image_header.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint8_t extension = 0x21, picture = 0x2c, trailer = 0x3b, graphic_control = 0xf9;
constexpr uint8_t has_palette = 0x80, interlaced = 0x40;

size_t palette_bytes(uint32_t flags) { return flags & has_palette ? size_t{3} << ((flags & 7) + 1) : 0; }

// Past the blocks that begin at `at`, each with its length before it, to the empty one that ends them.
size_t after_blocks(Bytes b, size_t at) {
  for (uint32_t length = big_endian(b, at, 1); length > 0; length = big_endian(b, at, 1)) at += 1 + length;
  return at + 1;
}

struct First {
  size_t at;                // its descriptor
  int32_t transparent;      // the colour that is none, or -1
  size_t palette, colours;  // where its palette begins; bytes, 0 where there is none
  int32_t left, top, height, width, screen_height, screen_width;
};

First find_first(Bytes b) {
  First f{};
  f.transparent = -1;
  size_t at = 13 + palette_bytes(big_endian(b, 10, 1));
  for (uint32_t kind = big_endian(b, at, 1); kind != picture; kind = big_endian(b, at, 1)) {
    check(kind != trailer, "is damaged: a GIF without a picture");
    if (kind != extension) {  // bytes between blocks, which are passed over
      ++at;
      continue;
    }
    if (big_endian(b, at + 1, 1) == graphic_control && big_endian(b, at + 2, 1) >= 4)
      f.transparent = big_endian(b, at + 3, 1) & 1 ? static_cast<int32_t>(big_endian(b, at + 6, 1)) : -1;
    at = after_blocks(b, at + 2);
  }
  const auto number = [&](size_t where) { return static_cast<int32_t>(little_endian(b, where, 2)); };
  f.at = at, f.left = number(at + 1), f.top = number(at + 3), f.width = number(at + 5), f.height = number(at + 7);
  f.colours = palette_bytes(big_endian(b, at + 9, 1)), f.palette = at + 10;
  if (f.colours == 0) f.colours = palette_bytes(b[10]), f.palette = 13;
  f.screen_width = std::max(number(6), f.left + f.width), f.screen_height = std::max(number(8), f.top + f.height);
  check(f.screen_width <= 65'535 && f.screen_height <= 65'535, "is damaged: a GIF of {} x {} pixels", f.screen_width,
        f.screen_height);
  return f;
}

void append(std::vector<uint8_t>& to, int32_t value) {
  to.push_back(static_cast<uint8_t>(value & 255)), to.push_back(static_cast<uint8_t>(value >> 8));
}

}  // namespace

ImageSize gif_size(Bytes bytes) {
  const First f = find_first(bytes);
  return {ImageFormat::gif, f.screen_height, f.screen_width};
}

PlainGif plain_gif(Bytes b) {
  constexpr size_t most_colours = 256;
  const First f = find_first(b);
  const uint32_t flags = big_endian(b, f.at + 9, 1);
  const size_t data = f.at + 10 + palette_bytes(flags), end = after_blocks(b, data + 1);
  check(f.palette + f.colours <= b.size(), "is damaged: it ends within its palette");
  PlainGif plain{{'G', 'I', 'F', '8', '9', 'a'}, f.left, f.top, f.height, f.width, f.transparent >= 0, {}};
  std::vector<uint8_t>& to = plain.bytes;
  append(to, f.screen_width), append(to, f.screen_height);
  to.insert(to.end(), {has_palette | 7, 0, 0});
  for (size_t i = 0; i < 3 * most_colours; ++i)  // shades of grey where the file has no palette
    to.push_back(f.colours == 0 ? static_cast<uint8_t>(i / 3) : i < f.colours ? b[f.palette + i] : uint8_t{0});
  std::copy_n(to.begin() + 13, 3, plain.first.begin());
  if (plain.has_alpha)
    to.insert(to.end(), {extension, graphic_control, 4, 1, 0, 0, static_cast<uint8_t>(f.transparent), 0});
  to.push_back(picture);
  append(to, f.left), append(to, f.top), append(to, f.width), append(to, f.height);
  to.push_back(static_cast<uint8_t>(flags & interlaced));
  to.insert(to.end(), b.begin() + static_cast<ptrdiff_t>(data), b.begin() + static_cast<ptrdiff_t>(end));
  to.push_back(trailer);
  return plain;
}

void finish_gif(const PlainGif& gif, Image& image) {
  if (!gif.has_alpha)
    for (int32_t y = 0; y < image.height; ++y)
      for (int32_t x = 0; x < image.width; ++x) {
        uint8_t* pixel = image.pixels.data() + 4 * (int64_t{y} * image.width + x);
        if (pixel[3] != 0) continue;
        check(y < gif.top || y >= gif.top + gif.height || x < gif.left || x >= gif.left + gif.width,
              "is truncated: pixels from row {} on are missing", y - gif.top + 1);
        std::copy(gif.first.begin(), gif.first.end(), pixel);
        pixel[3] = 255;
      }
  blend_over_white(image.pixels);
}

}  // namespace gestalt
