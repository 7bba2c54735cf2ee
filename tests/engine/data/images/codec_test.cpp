// Decoding against Pillow's recorded pixels, and the refusal of files that are not what they say.
#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "engine/data/images/image_codec.h"
#include "engine/data/images/more_formats.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/golden/data.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

using View = std::span<const uint8_t>;

int worst(View got, View expected) {
  if (got.size() != expected.size()) return 1000;
  int most = 0;
  for (size_t i = 0; i < got.size(); ++i) most = std::max(most, std::abs(got[i] - expected[i]));
  return most;
}

std::string refusal(View bytes, const DecodeOptions& options = {}) {
  try {
    decode_image(bytes, options);
  } catch (const Error& error) { return error.what(); }
  return "decoded";
}

void append_chunk(Bytes& png, const char* type, const Bytes& data) {
  append_big(png, static_cast<uint32_t>(data.size()));
  const size_t start = png.size();
  png.insert(png.end(), type, type + 4);
  png.insert(png.end(), data.begin(), data.end());
  append_big(png, static_cast<uint32_t>(crc32(0, png.data() + start, static_cast<uInt>(png.size() - start))));
}

Bytes compressed_zeros(size_t count) {
  const Bytes zeros(count, 0);
  uLongf size = compressBound(static_cast<uLong>(count));
  Bytes data(size);
  compress2(data.data(), &size, zeros.data(), static_cast<uLong>(count), 9);
  data.resize(size);
  return data;
}

// A well-formed grey PNG whose compressed data unpacks to `raw` zeros, whatever its header says, and its compressed
// text to `text`.
Bytes png_of_zeros(uint32_t width, uint32_t height, size_t raw, size_t text = 0) {
  Bytes png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, header;
  append_big(header, width), append_big(header, height);
  header.insert(header.end(), {8, 0, 0, 0, 0});
  append_chunk(png, "IHDR", header);
  if (text > 0) {
    Bytes note{'n', 'o', 't', 'e', 0, 0};
    const Bytes packed = compressed_zeros(text);
    note.insert(note.end(), packed.begin(), packed.end());
    append_chunk(png, "zTXt", note);
  }
  append_chunk(png, "IDAT", compressed_zeros(raw)), append_chunk(png, "IEND", {});
  return png;
}

}  // namespace

TEST_CASE("data: PNG, BMP and JPEG decode to Pillow's pixels, alpha on white") {
  struct Case {
    const char* name;
    View file, pixels;
    int32_t height, width;
    int tolerance;
  };
  using namespace golden;
  const Case cases[] = {{"png rgb", png_rgb, png_rgb_pixels, 5, 7, 0},
                        {"png grey", png_grey, png_grey_pixels, 5, 7, 0},
                        {"png of one bit", png_bit, png_bit_pixels, 5, 7, 0},
                        {"png grey with alpha", png_grey_alpha, png_grey_alpha_pixels, 5, 7, 0},
                        {"png with alpha", png_rgba, png_rgba_pixels, 5, 7, 0},
                        {"png palette", png_palette, png_palette_pixels, 5, 7, 0},
                        {"png interlaced", png_interlaced, png_interlaced_pixels, 5, 7, 0},
                        {"png palette with alpha", png_palette_clear, png_palette_clear_pixels, 5, 7, 0},
                        {"png with a transparent colour", png_clear_colour, png_clear_colour_pixels, 5, 7, 0},
                        {"png grey of 16 bits", png_16_grey, png_16_grey_pixels, 5, 7, 0},
                        {"png with alpha of 16 bits", png_16_rgba, png_16_rgba_pixels, 5, 7, 0},
                        {"bmp rgb", bmp_rgb, bmp_rgb_pixels, 5, 7, 0},
                        {"bmp grey", bmp_grey, bmp_grey_pixels, 5, 7, 0},
                        {"bmp of one bit", bmp_bit, bmp_bit_pixels, 5, 7, 0},
                        {"bmp palette", bmp_palette, bmp_palette_pixels, 5, 7, 0},
                        {"jpeg 4:4:4", jpeg_rgb, jpeg_rgb_pixels, 16, 24, 2},
                        {"jpeg 4:2:0", jpeg_420, jpeg_420_pixels, 16, 24, 2},
                        {"jpeg progressive", jpeg_progressive, jpeg_progressive_pixels, 16, 24, 2},
                        {"jpeg grey", jpeg_grey, jpeg_grey_pixels, 16, 24, 2},
                        {"jpeg cmyk", jpeg_cmyk, jpeg_cmyk_pixels, 16, 24, 2},
                        {"jpeg ycck", jpeg_ycck, jpeg_ycck_pixels, 16, 24, 2},
                        {"png of 16 bits", png_16, png_16_pixels, 5, 7, 0},
                        {"bmp, the top row first", bmp_top_down, bmp_top_down_pixels, 5, 7, 0},
                        {"bmp of 32 bits, so too", bmp_top_down_32, bmp_top_down_32_pixels, 5, 7, 0},
                        {"bmp of runs", bmp_runs, bmp_runs_pixels, 5, 7, 0},
                        {"bmp of runs of four bits", bmp_runs_4, bmp_runs_4_pixels, 5, 7, 0},
                        {"bmp, its pixels far behind the palette", bmp_gap, bmp_gap_pixels, 5, 7, 0},
                        {"bmp with pixels of colours it has not", bmp_few_colours, bmp_few_colours_pixels, 5, 7, 0},
                        {"bmp of OS/2 without its last padding", bmp_os2, bmp_os2_pixels, 5, 7, 0},
                        {"bmp of 16 bits", bmp_565, bmp_565_pixels, 5, 7, 1},
                        {"bmp with alpha", bmp_alpha, bmp_alpha_pixels, 5, 7, 0},
                        {"png with a damaged note", png_damaged_note, png_damaged_note_pixels, 5, 7, 0},
                        {"png without its end", png_endless, png_endless_pixels, 5, 7, 0}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const Image image = decode_image(c.file);
    CHECK(image.height == c.height);
    CHECK(image.width == c.width);
    CHECK(worst(image.pixels, c.pixels) <= c.tolerance);
    const ImageSize size = read_image_size(c.file);
    CHECK(size.height == c.height);
    CHECK(size.width == c.width);
  }
}

TEST_CASE("data: GIF, and where their libraries are WebP, TIFF, HEIC and AVIF, decode to Pillow's pixels") {
  struct Case {
    const char* format;
    View file, pixels;
    int32_t height, width;
    int tolerance;
  };
  using namespace golden;
  const Case cases[] = {{"GIF", gif, gif_pixels, 5, 7, 0},
                        {"GIF", gif_clear, gif_clear_pixels, 5, 7, 0},
                        {"GIF", gif_moving, gif_moving_pixels, 5, 7, 0},
                        {"GIF", gif_part, gif_part_pixels, 8, 12, 0},
                        {"GIF", gif_part_clear, gif_part_clear_pixels, 8, 12, 0},
                        {"GIF", gif_beyond, gif_beyond_pixels, 5, 8, 0},
                        {"WebP", webp_part, webp_part_pixels, 8, 12, 0},
                        {"WebP", webp_lossless, webp_lossless_pixels, 5, 7, 0},
                        {"WebP", webp_lossy, webp_lossy_pixels, 16, 24, 2},
                        {"WebP", webp_alpha_moving, webp_alpha_moving_pixels, 5, 7, 0},
                        {"WebP", webp_moving, webp_moving_pixels, 5, 7, 0},
                        {"TIFF", tiff_rgb, tiff_rgb_pixels, 5, 7, 0},
                        {"TIFF", tiff_lzw, tiff_lzw_pixels, 5, 7, 0},
                        {"TIFF", tiff_deflate_palette, tiff_deflate_palette_pixels, 5, 7, 0},
                        {"TIFF", tiff_grey, tiff_grey_pixels, 5, 7, 0},
                        {"TIFF", tiff_alpha, tiff_alpha_pixels, 5, 7, 1},
                        {"TIFF", tiff_big, tiff_big_pixels, 5, 7, 0},
                        {"TIFF", tiff_tiled, tiff_tiled_pixels, 5, 7, 0},
                        {"TIFF", tiff_turned, tiff_turned_pixels, 7, 5, 0},
                        {"TIFF", tiff_grey_alpha, tiff_grey_alpha_pixels, 5, 7, 1},
                        {"TIFF", tiff_fourth_sample, tiff_fourth_sample_pixels, 5, 7, 0},
                        {"AVIF", avif, avif_pixels, 16, 24, 10},
                        {"HEIC", heic, heic_pixels, 16, 24, 10},
                        {"AVIF", avif_alpha, avif_alpha_pixels, 16, 24, 10}};
  const std::vector<std::string> read = image_formats();
  for (const Case& c : cases) {
    INFO(std::string(c.format), " of ", c.file.size(), " bytes");
    if (std::find(read.begin(), read.end(), c.format) == read.end()) {
      CHECK(refusal(c.file).find("which this build does not read: install lib") != std::string::npos);
      continue;
    }
    const Image image = decode_image(c.file);
    CHECK(image.height == c.height);
    CHECK(image.width == c.width);
    CHECK(worst(image.pixels, c.pixels) <= c.tolerance);
    CHECK(refusal(c.file.first(c.file.size() / 2)) != "decoded");
  }
}

TEST_CASE("data: every JPEG sampling is decoded") {
  Image smooth{{}, 40, 56};
  for (int32_t y = 0; y < 40; ++y)
    for (int32_t x = 0; x < 56; ++x)
      for (int32_t value : {2 * x + 60, 3 * y + 50, x + y + 80}) smooth.pixels.push_back(static_cast<uint8_t>(value));
  const int samplings[][6] = {{1, 1, 1, 1, 1, 1}, {2, 1, 1, 1, 1, 1}, {1, 2, 1, 1, 1, 1}, {2, 2, 1, 1, 1, 1},
                              {4, 1, 1, 1, 1, 1}, {1, 4, 1, 1, 1, 1}, {4, 2, 1, 1, 1, 1}, {2, 2, 2, 1, 2, 1},
                              {2, 2, 1, 2, 1, 2}, {2, 2, 2, 2, 1, 1}, {2, 1, 2, 1, 2, 1}, {3, 1, 1, 1, 1, 1}};
  for (const auto& sampling : samplings) {
    CAPTURE(sampling[0]);
    CAPTURE(sampling[1]);
    CHECK(worst(decode_image(jpeg(smooth, sampling)).pixels, smooth.pixels) <= 14);
  }
}

TEST_CASE("data: what libjpeg warns of is decoded, and missing pixels are damage") {
  const Bytes good = jpeg(pattern(64, 64));
  const Image expected = decode_image(good);
  Bytes warned = good;
  const std::string noise = "0123456789";
  warned.insert(warned.end() - 2, noise.begin(), noise.end());
  CHECK(decode_image(warned).pixels == expected.pixels);
  Bytes longer = good;
  longer.insert(longer.end(), noise.begin(), noise.end());
  CHECK(decode_image(longer).pixels == expected.pixels);
  Bytes ended(good.begin(), good.begin() + static_cast<int64_t>(good.size() / 2));
  ended.insert(ended.end(), {0xff, 0xd9});
  CHECK(refusal(ended).find("is truncated") == 0);
  Bytes between = good;  // after the first segment
  between.insert(between.begin() + 4 + between[4] * 256 + between[5] - 2 + 2, {0, 0, 0});
  CHECK(decode_image(between).pixels == expected.pixels);
  CHECK(refusal(View(good).first(good.size() - 2)).find("is truncated") == 0);
}

TEST_CASE("data: pictures are turned upright by their EXIF orientation") {
  const Bytes plain = jpeg(pattern(9, 16));
  const Image lying = decode_image(plain);
  const auto exif = [](bool little, uint8_t orientation) {
    return little
               ? Bytes{'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0}
               : Bytes{'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0};
  };
  Bytes png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, header, rows;
  append_big(header, 3), append_big(header, 2);
  header.insert(header.end(), {8, 2, 0, 0, 0});
  const Image small = pattern(2, 3);
  for (int64_t y = 0; y < 2; ++y) {
    rows.push_back(0);
    rows.insert(rows.end(), small.pixels.begin() + 9 * y, small.pixels.begin() + 9 * (y + 1));
  }
  uLongf size = compressBound(static_cast<uLong>(rows.size()));
  Bytes data(size);
  compress2(data.data(), &size, rows.data(), static_cast<uLong>(rows.size()), 9);
  data.resize(size);
  append_chunk(png, "IHDR", header);
  for (uint8_t orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(int{orientation});
    for (bool little : {false, true}) {
      Bytes file = png;
      append_chunk(file, "eXIf", exif(little, orientation)), append_chunk(file, "IDAT", data);
      append_chunk(file, "IEND", {});
      const Image image = decode_image(file);
      CHECK(image.height == (orientation < 5 ? 2 : 3));
      CHECK(worst(image.pixels, View(golden::turned).subspan(18 * (orientation - 1u), 18)) == 0);
      Bytes segment{0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0}, photo = plain;
      const Bytes block = exif(little, orientation);
      segment.insert(segment.end(), block.begin(), block.end());
      photo.insert(photo.begin() + 2, segment.begin(), segment.end());
      CHECK(decode_image(photo).pixels.size() == lying.pixels.size());
      CHECK(decode_image(photo).height == (orientation < 5 ? 9 : 16));
    }
  }
}

TEST_CASE("data: no header is read beyond its end") {
  for (View file : {View(golden::png_rgb), View(golden::bmp_rgb), View(golden::jpeg_420)})
    for (size_t size = 0; size < 60; ++size) {
      const Bytes part(file.begin(), file.begin() + static_cast<int64_t>(size));  // a sanitizer sees its end
      CHECK_THROWS_AS(decode_image(part), Error);
    }
}

TEST_CASE("data: resizing agrees with Pillow") {
  CHECK(worst(resize_image(pattern(23, 40), {9, false}).pixels, golden::resize_down) <= 1);
  CHECK(worst(resize_image(pattern(23, 40), {10, true}).pixels, golden::resize_crop) <= 1);
  CHECK(worst(resize_image(pattern(23, 40), {21, true}).pixels, golden::resize_crop_large) <= 1);
  CHECK(worst(resize_image(pattern(5, 9), {12, true}).pixels, golden::resize_up) <= 1);
  const Image kept = resize_image(pattern(5, 9), {12, false});
  CHECK(kept.pixels == pattern(5, 9).pixels);
  const Image thin = resize_image(pattern(1, 3000), {4, true});
  CHECK(thin.pixels.size() == 48);
}

TEST_CASE("data: a JPEG is shrunk while it is decoded to the size that the header foretells") {
  Image smooth{{}, 300, 403};
  for (int32_t y = 0; y < 300; ++y)
    for (int32_t x = 0; x < 403; ++x)
      for (int32_t value : {x / 2, y / 2, (x + y) / 4}) smooth.pixels.push_back(static_cast<uint8_t>(value));
  const Bytes file = jpeg(smooth);
  for (int32_t side : {299, 150, 149, 64, 20, 3}) {
    CAPTURE(side);
    const DecodeOptions options{side, false};
    const Image image = decode_image(file, options);
    const ImageSize expected = decoded_size(read_image_size(file), options);
    CHECK(image.height == side);
    CHECK(image.height == expected.height);
    CHECK(image.width == expected.width);
    CHECK(image.width == 403 * side / 300);
    if (side >= 20) CHECK(worst(image.pixels, resize_image(smooth, options).pixels) <= 6);
  }
  // Cut squares are resampled once, from all the pixels.
  CHECK(decode_image(file, {64, true}).pixels == resize_image(decode_image(file), {64, true}).pixels);
}

TEST_CASE("data: damaged images are refused with the reason") {
  const Bytes good = jpeg(pattern(64, 64));
  auto contains = [](const std::string& text, const char* part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  contains(refusal({}), "is empty");
  contains(refusal(View(good).first(good.size() / 2)), "is truncated");
  contains(refusal(View(good).first(good.size() - 200)), "is truncated");
  contains(refusal(View(good).first(20)), "damaged");
  const std::string text = "this is not a picture at all";
  contains(refusal(View(reinterpret_cast<const uint8_t*>(text.data()), text.size())), "is not an image file");
  contains(refusal(View(golden::png_rgb).first(sizeof golden::png_rgb - 20)), "truncated");
  contains(refusal(View(golden::bmp_rgb).first(sizeof golden::bmp_rgb - 4)), "truncated");
  contains(refusal(View(golden::bmp_runs).first(sizeof golden::bmp_runs - 12)), "truncated");
  Bytes flipped(std::begin(golden::png_rgb), std::end(golden::png_rgb));
  flipped[flipped.size() - 20] ^= 1;
  contains(refusal(flipped), "damaged");
  const View whole(golden::png_interlaced);
  for (size_t size = 8; size < whole.size() - 12; ++size) {  // its end is not looked at
    CAPTURE(size);
    CHECK(refusal(whole.first(size)) != "decoded");
  }
  contains(refusal(golden::png_rgb, {0, false, 30}), "limit");
  Bytes shorter(std::begin(golden::gif_part), std::end(golden::gif_part));
  shorter[13 + 48 + 7] += 1;  // the picture has a row more, of which there are no pixels
  contains(refusal(shorter), "truncated");
  const std::vector<std::string> read = image_formats();
  if (std::find(read.begin(), read.end(), "TIFF") != read.end()) {
    Bytes numbers(std::begin(golden::tiff_tiled), std::end(golden::tiff_tiled));
    const uint8_t sample_format[] = {0x53, 1, 3, 0, 1, 0, 0, 0, 3, 0, 0, 0};  // in place of the tag of samples a pixel
    std::copy(std::begin(sample_format), std::end(sample_format), numbers.begin() + 10 + 5 * 12);
    contains(refusal(numbers), "floating-point numbers");
  }
}

TEST_CASE("data: a damaged JPEG leaves no trace in the images after it") {
  const Bytes good = jpeg(pattern(8, 9)), other = jpeg(pattern(16, 16));
  const Image expected = decode_image(good);
  for (size_t size = 4; size < other.size(); size += 7) {
    CAPTURE(size);
    CHECK(refusal(View(other).first(size)) != "decoded");
    CHECK(decode_image(good).pixels == expected.pixels);
  }
}

TEST_CASE("data: small files that ask for much memory are refused") {
  auto contains = [](const std::string& text, const char* part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  CHECK(refusal(png_of_zeros(32, 32, 33 * 32)) == "decoded");
  CHECK(refusal(png_of_zeros(32, 32, 64 << 20)) == "decoded");  // what follows the last row is not unpacked
  contains(refusal(png_of_zeros(32, 32, 33 * 32 - 1)), "truncated");
  CHECK(refusal(png_of_zeros(32, 32, 33 * 32, 64 << 20)) == "decoded");  // nor is a note
  contains(refusal(png_of_zeros(16'000, 6'000, 1000)), "cannot hold");
  contains(refusal(png_of_zeros(16'000'000, 16'000'000, 1000)), "limit");
  Bytes lie = png_of_zeros(32, 32, 33 * 32);
  lie[33] = 0x7f, lie[34] = lie[35] = lie[36] = 0xff;  // the length of IDAT
  CHECK(lie.size() < 214);
  contains(refusal(lie), "truncated");
  Bytes wide = jpeg(pattern(8, 8));
  for (size_t i = 0; i + 9 < wide.size(); ++i)
    if (wide[i] == 0xff && wide[i + 1] == 0xc0) wide[i + 5] = wide[i + 7] = 0x27;  // 10,000 pixels a side
  contains(refusal(wide), "cannot hold");
}

TEST_CASE("data: a written PNG reads back as it was") {
  const TemporaryFolder folder;
  const Image image = pattern(13, 21);
  write_png(folder / "a.png", image.pixels.data(), 13, 21);
  CHECK(decode_image(read(folder / "a.png")).pixels == image.pixels);
  CHECK_THROWS_AS(write_png(folder / "no/such/a.png", image.pixels.data(), 13, 21), Error);
}

}  // namespace gestalt::test
