// Small image files and data sets that the data tests write for themselves.
#pragma once

#include <turbojpeg.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

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

inline Bytes jpeg(const Image& image) {
  tjhandle tj = tjInitCompress();
  unsigned char* out = nullptr;
  unsigned long size = 0;
  const int state =
      tjCompress2(tj, image.pixels.data(), image.width, 0, image.height, TJPF_RGB, &out, &size, TJSAMP_444, 95, 0);
  Bytes bytes(out, out + size);
  tjFree(out);
  tjDestroy(tj);
  check(state == 0, "[test] cannot write a JPEG");
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
