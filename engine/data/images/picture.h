// Picture: bytes for a person to look at, and sheets of small images side by side.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/images/augment.h"

namespace gestalt {

struct Picture {
  std::vector<uint8_t> pixels;  // (height, width, 3)
  int32_t height = 0, width = 0;
  std::string caption = {};  // what is to be seen, in words
};

// As a PNG: its bytes, or the file.
std::string encode_picture(const Picture& picture);
void write_picture(const std::string& path, const Picture& picture);

// A normalised value back as a byte; not-a-number is black.
uint8_t display_byte(float value, int channel, const Normalisation& normalisation);

// images (N, H, W, 3), normalised → tiles in rows of `columns`, with white gaps between them, enlarged by a whole
// factor to 96 pixels or more.
Picture draw_sheet(const Tensor& images, int64_t columns, const Normalisation& normalisation);

}  // namespace gestalt
