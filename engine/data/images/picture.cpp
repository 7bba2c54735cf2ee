// Drawing tiles and writing them.
#include "engine/data/images/picture.h"

#include <algorithm>
#include <cmath>

#include "engine/data/images/image_codec.h"

namespace gestalt {
namespace {

constexpr int64_t gap = 4, least_tile = 96;

}  // namespace

std::string encode_picture(const Picture& picture) {
  return encode_png(picture.pixels.data(), picture.height, picture.width);
}

void write_picture(const std::string& path, const Picture& picture) {
  write_png(path, picture.pixels.data(), picture.height, picture.width);
}

uint8_t display_byte(float value, int channel, const Normalisation& n) {
  const float pixel = value * n.std[channel] + n.mean[channel];
  return static_cast<uint8_t>(std::lround(255 * std::clamp(std::isfinite(pixel) ? pixel : 0.0f, 0.0f, 1.0f)));
}

Picture draw_sheet(const Tensor& images, int64_t columns, const Normalisation& normalisation) {
  check(images.rank() == 4 && images.dim(3) == 3 && images.count() > 0 && columns >= 1,
        "[picture] got images {} in {} columns, expected (N, H, W, 3) and 1 or more", images.shape().text(), columns);
  const int64_t count = images.dim(0), height = images.dim(1), width = images.dim(2);
  const int64_t zoom = std::max<int64_t>(1, (least_tile + width - 1) / width);
  const int64_t tile_height = height * zoom + gap, tile_width = width * zoom + gap;
  const int64_t rows = (count + columns - 1) / columns;
  Picture sheet{{}, static_cast<int32_t>(rows * tile_height + gap), static_cast<int32_t>(columns * tile_width + gap)};
  sheet.pixels.assign(static_cast<size_t>(sheet.height) * static_cast<size_t>(sheet.width) * 3, 255);
  const std::vector<float> values = images.values();
  for (int64_t i = 0; i < count; ++i)
    for (int64_t y = 0; y < height * zoom; ++y) {
      const float* from = values.data() + (i * height + y / zoom) * width * 3;
      const int64_t row = gap + i / columns * tile_height + y, column = gap + i % columns * tile_width;
      uint8_t* to = sheet.pixels.data() + (row * sheet.width + column) * 3;
      for (int64_t x = 0; x < width * zoom; ++x)
        for (int c = 0; c < 3; ++c) to[x * 3 + c] = display_byte(from[x / zoom * 3 + c], c, normalisation);
    }
  return sheet;
}

}  // namespace gestalt
