// Small image files and data sets that the data tests write for themselves.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <jpeglib.h>

#include "engine/data/images/image_codec.h"
#include "kernels/check.h"

namespace gestalt::test {

using Bytes = std::vector<uint8_t>;

// The image of tests/golden/data.py.
inline Image pattern(int32_t height, int32_t width, int32_t shift = 0) {
  Image image{{}, height, width};
  for (int32_t y = 0; y < height; ++y)
    for (int32_t x = 0; x < width; ++x)
      for (int32_t value : {x * 37 + y * 91, x * 53 + y * 17 + 60, x * y * 5 + 120})
        image.pixels.push_back(static_cast<uint8_t>(value + shift));
  return image;
}

// `samplings` are the horizontal and vertical factors of brightness and of the two colours.
inline Bytes jpeg(const Image& image, const int (&samplings)[6] = {1, 1, 1, 1, 1, 1}) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &out, &size);
  info.image_width = static_cast<unsigned>(image.width), info.image_height = static_cast<unsigned>(image.height);
  info.input_components = 3, info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 95, TRUE);
  for (int c = 0; c < 3; ++c)
    info.comp_info[c].h_samp_factor = samplings[2 * c], info.comp_info[c].v_samp_factor = samplings[2 * c + 1];
  jpeg_start_compress(&info, TRUE);
  for (int32_t y = 0; y < image.height; ++y) {
    JSAMPROW row = const_cast<uint8_t*>(image.pixels.data()) + static_cast<size_t>(y) * image.width * 3;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  Bytes bytes(out, out + size);
  std::free(out);
  jpeg_destroy_compress(&info);
  return bytes;
}

inline void write(const std::string& path, const Bytes& bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

inline void write(const std::string& path, const std::string& text) { write(path, Bytes(text.begin(), text.end())); }

inline void write_image(const std::string& path, const Image& image) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  write_png(path, image.pixels.data(), image.height, image.width);
}

inline Bytes read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void append_big(Bytes& bytes, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<uint8_t>(value >> shift));
}

// An IDX file of unsigned bytes, which count up from `first`.
inline Bytes idx(const std::vector<uint32_t>& extents, uint8_t first, uint32_t modulus = 256) {
  Bytes bytes;
  append_big(bytes, 0x0800u | static_cast<uint32_t>(extents.size()));
  uint32_t count = 1;
  for (uint32_t extent : extents) append_big(bytes, extent), count *= extent;
  for (uint32_t i = 0; i < count; ++i) bytes.push_back(static_cast<uint8_t>((first + i) % modulus));
  return bytes;
}

}  // namespace gestalt::test
