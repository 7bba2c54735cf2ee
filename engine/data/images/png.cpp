// PNG decoding and encoding: libspng checks every length against its limits before it asks for memory.
#include "engine/data/images/png.h"

#include <spng.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>

#include "engine/data/images/alpha.h"
#include "engine/data/images/image_header.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

using Context = std::unique_ptr<spng_ctx, void (*)(spng_ctx*)>;

Context make_context(int flags) {
  Context context(spng_ctx_new(flags), spng_ctx_free);
  check(context != nullptr, "does not fit into memory");
  return context;
}

void require(int status) {
  check(status != SPNG_IO_EOF && status != SPNG_EIDAT_TOO_SHORT, "is truncated ({})", spng_strerror(status));
  check(status == SPNG_OK, "is damaged ({})", spng_strerror(status));
}

// What the pixels are made of, and nothing else: damage in a note, a profile or the end of the file costs no pixel.
std::vector<uint8_t> plain_png(std::span<const uint8_t> b) {
  constexpr size_t signature = 8, around = 12;  // length, name and checksum of a chunk
  std::vector<uint8_t> plain(b.begin(), b.begin() + signature);
  plain.reserve(b.size());
  const auto is = [&](size_t at, const char* name) { return std::memcmp(b.data() + at + 4, name, 4) == 0; };
  bool pixels = false;
  for (size_t at = signature; at + around <= b.size();) {
    const size_t length = big_endian(b, at, 4);
    if (pixels && !is(at, "IDAT")) break;
    check(length <= b.size() - at - around, "is truncated: of a chunk of {} bytes {} are there", length,
          b.size() - at - around);
    pixels = is(at, "IDAT");
    const bool ancillary = b[at + 4] & 0x20;
    if (!ancillary || is(at, "tRNS"))
      plain.insert(plain.end(), b.begin() + static_cast<ptrdiff_t>(at),
                   b.begin() + static_cast<ptrdiff_t>(at + around + length));
    at += around + length;
  }
  check(pixels, "is truncated: it ends before its pixels");
  constexpr uint8_t end[around] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
  plain.insert(plain.end(), std::begin(end), std::end(end));
  return plain;
}

}  // namespace

Image decode_png(std::span<const uint8_t> bytes, ImageSize size) {
  constexpr size_t most_beside_pixels = size_t{16} << 20;
  const std::vector<uint8_t> plain = plain_png(bytes);
  const Context context = make_context(0);
  spng_ctx* png = context.get();
  require(spng_set_image_limits(png, static_cast<uint32_t>(size.width), static_cast<uint32_t>(size.height)));
  require(spng_set_chunk_limits(png, most_beside_pixels, most_beside_pixels));
  require(spng_set_crc_action(png, SPNG_CRC_ERROR, SPNG_CRC_ERROR));
  require(spng_set_png_buffer(png, plain.data(), plain.size()));
  spng_ihdr header{};
  require(spng_get_ihdr(png, &header));
  spng_trns transparent{};
  const int clear = spng_get_trns(png, &transparent);
  if (clear != SPNG_ECHUNKAVAIL) require(clear);
  const bool has_alpha = clear == SPNG_OK || header.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA ||
                         header.color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA;
  const size_t count = static_cast<size_t>(size.height) * static_cast<size_t>(size.width), channels = has_alpha ? 4 : 3;
  std::vector<uint8_t> pixels(count * channels);
  require(spng_decode_image(png, pixels.data(), pixels.size(), has_alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8,
                            has_alpha ? SPNG_DECODE_TRNS : 0));
  require(spng_decode_chunks(png));  // to the file's end
  if (has_alpha) blend_over_white(pixels);
  return {std::move(pixels), size.height, size.width};
}

std::string encode_png(const uint8_t* pixels, int32_t height, int32_t width) {
  check(height > 0 && width > 0, "[encode_png] got {} x {} pixels, expected some", width, height);
  const Context context = make_context(SPNG_CTX_ENCODER);
  spng_ctx* png = context.get();
  spng_ihdr header{.width = static_cast<uint32_t>(width),
                   .height = static_cast<uint32_t>(height),
                   .bit_depth = 8,
                   .color_type = SPNG_COLOR_TYPE_TRUECOLOR,
                   .compression_method = 0,
                   .filter_method = 0,
                   .interlace_method = SPNG_INTERLACE_NONE};
  const size_t length = size_t{3} * static_cast<size_t>(height) * static_cast<size_t>(width);
  size_t bytes = 0;
  int status = spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1);
  if (status == SPNG_OK) status = spng_set_ihdr(png, &header);
  if (status == SPNG_OK) status = spng_encode_image(png, pixels, length, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
  const std::unique_ptr<void, void (*)(void*)> file(
      status == SPNG_OK ? spng_get_png_buffer(png, &bytes, &status) : nullptr, std::free);
  check(status == SPNG_OK && file, "[encode_png] {} x {} pixels: {}", width, height, spng_strerror(status));
  return {static_cast<const char*>(file.get()), bytes};
}

void write_png(const std::string& path, const uint8_t* pixels, int32_t height, int32_t width) {
  check(height > 0 && width > 0, "[write_png] got {} x {} pixels for {}", width, height, path);
  const std::string bytes = encode_png(pixels, height, width);
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  check(file.good(), "[write_png] cannot write {}: {}", path, std::strerror(errno));
}

}  // namespace gestalt
