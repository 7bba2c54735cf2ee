// Whether two images show the same picture, by their pixels: compressed, brightened, resized or cropped a little.
#pragma once

#include <cstdint>
#include <vector>

namespace gestalt {

inline constexpr int64_t thumbnail_side = 32, thumbnail_bytes = thumbnail_side * thumbnail_side * 3;

// How well two thumbnails (32, 32, 3) agree, from −1 to 1: the correlation of their colours on a grid of 16 × 16, of
// each with the other or with that window of it, down to 0.8 of its side, which fits best. Brightness and contrast do
// not count, unless they differ so much that it is another picture. Two different photographs of CIFAR-10 agree by less
// than 0.94, an image and its JPEG of quality 50 or its crop by two pixels by more than 0.97.
double agreement(const uint8_t* a, const uint8_t* b);

}  // namespace gestalt
