// The first picture of a GIF, alone in a file with one palette of all colours.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/data/images/image_codec.h"

namespace gestalt {

// Of a file that begins with "GIF87a" or "GIF89a": the screen, or what the first picture takes where that is more.
ImageSize gif_size(std::span<const uint8_t> bytes);

struct PlainGif {
  std::vector<uint8_t> bytes;
  int32_t left, top, height, width;  // of the picture on the screen
  bool has_alpha;                    // some colour is none, and so is what the picture leaves free
  std::array<uint8_t, 3> first;      // the palette's first colour, which else stands there
};

// Throws where the picture's blocks are not whole.
PlainGif plain_gif(std::span<const uint8_t> bytes);

// Pixels of the plain file with alpha → on white. Throws where the picture itself has pixels that are missing.
void finish_gif(const PlainGif&, Image& image);

}  // namespace gestalt
