// Drawing reconstructions: patches back to pixels, pixels to bytes, tiles side by side.
#include "tasks/mae_pictures.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/data/images/image_codec.h"
#include "engine/ops/masked_loss.h"
#include "engine/ops/patch.h"
#include "engine/tensor/autograd.h"
#include "kernels/masked_loss.h"

namespace gestalt {
namespace {

constexpr int32_t columns = 4, gap = 4, least_tile = 96;

// Puts predictions back on the scale of the images: x · deviation + mean of each target patch.
void restore_scale(std::vector<float>& prediction, const std::vector<float>& target, size_t begin, size_t size) {
  double sum = 0, squares = 0;
  for (size_t i = begin; i < begin + size; ++i) sum += target[i];
  const double mean = sum / static_cast<double>(size);
  for (size_t i = begin; i < begin + size; ++i) squares += (target[i] - mean) * (target[i] - mean);
  const double deviation = std::sqrt(squares / static_cast<double>(size - 1) + kernels::patch_variance_epsilon);
  for (size_t i = begin; i < begin + size; ++i) prediction[i] = static_cast<float>(prediction[i] * deviation + mean);
}

uint8_t to_byte(float value, int channel, const Normalisation& n) {
  const float pixel = value * n.std[channel] + n.mean[channel];
  return static_cast<uint8_t>(std::lround(255 * std::clamp(std::isfinite(pixel) ? pixel : 0.0f, 0.0f, 1.0f)));
}

}  // namespace

MaskedLosses masked_losses(const Reconstructions& r) {
  const NoGrad no_grad;
  const auto loss_of = [&](const Tensor& predictions) {
    return masked_loss(predictions.to(DType::f32), r.images, r.masked, r.side, r.norm_pixels).item();
  };
  Tensor means = gather_patches(r.images.to(Device::cpu), {}, r.side, DType::f32);
  const int64_t size = means.dim(2);
  float* patch = means.data<float>();
  for (int64_t i = 0; i < means.count() / size; ++i, patch += size) {
    const double sum = std::accumulate(patch, patch + size, 0.0);
    std::fill_n(patch, size, r.norm_pixels ? 0.0f : static_cast<float>(sum / static_cast<double>(size)));
  }
  return {loss_of(r.predictions), loss_of(means.to(r.images.device()))};
}

Picture draw_reconstructions(const Reconstructions& r, const Normalisation& normalisation) {
  const kernels::PatchGrid grid{r.images.dim(0), r.images.dim(1), r.images.dim(2), r.side};
  const auto patches = static_cast<size_t>(grid.patches()), size = static_cast<size_t>(grid.size());
  const auto height = static_cast<int32_t>(grid.height), width = static_cast<int32_t>(grid.width);
  const std::vector<float> images = r.images.values();
  std::vector<float> predictions = r.predictions.values();
  std::vector<uint8_t> hidden(static_cast<size_t>(grid.batch) * patches, 0);
  const std::vector<float> masked = r.masked.values();
  for (size_t i = 0; i < masked.size(); ++i)
    hidden[i / static_cast<size_t>(r.masked.dim(1)) * patches + static_cast<size_t>(masked[i])] = 1;

  // The images in the predictions' order: (B, N, row, side, 3).
  std::vector<float> targets(predictions.size());
  const int64_t row = r.side * 3;
  for (int64_t i = 0; i < grid.batch * grid.patches() * r.side; ++i)
    std::copy_n(images.data() + grid.row_begin(i / (grid.patches() * r.side), i / r.side % grid.patches(), i % r.side),
                row, targets.data() + i * row);
  if (r.norm_pixels)
    for (size_t p = 0; p < hidden.size(); ++p) restore_scale(predictions, targets, p * size, size);

  const int32_t zoom = std::max(1, (least_tile + width - 1) / width);
  const int32_t tile_height = height * zoom + gap, tile_width = width * zoom + gap;
  Picture picture{{}, static_cast<int32_t>(grid.batch) * tile_height + gap, columns * tile_width + gap};
  picture.pixels.assign(static_cast<size_t>(picture.height) * picture.width * 3, 255);
  for (int32_t b = 0; b < grid.batch; ++b)
    for (int32_t y = 0; y < height * zoom; ++y)
      for (int32_t x = 0; x < width * zoom; ++x) {
        const int64_t py = y / zoom, px = x / zoom;
        const auto patch = static_cast<size_t>(b * grid.patches() + py / r.side * grid.columns() + px / r.side);
        for (int c = 0; c < 3; ++c) {
          const size_t i = patch * size + static_cast<size_t>(py % r.side * row + px % r.side * 3 + c);
          const uint8_t input = to_byte(targets[i], c, normalisation),
                        output = to_byte(predictions[i], c, normalisation);
          const uint8_t shown[columns] = {input, hidden[patch] ? uint8_t{128} : input, output,
                                          hidden[patch] ? output : input};
          for (int32_t k = 0; k < columns; ++k) {
            const int64_t at = int64_t{gap + b * tile_height + y} * picture.width + gap + k * tile_width + x;
            picture.pixels[static_cast<size_t>(at * 3 + c)] = shown[k];
          }
        }
      }
  return picture;
}

void write_reconstructions(const std::string& path, const Reconstructions& r, const Normalisation& normalisation) {
  const Picture picture = draw_reconstructions(r, normalisation);
  write_png(path, picture.pixels.data(), picture.height, picture.width);
}

}  // namespace gestalt
