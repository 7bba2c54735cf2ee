// Drawing reconstructions: patches back to pixels, four tiles an image.
#include "models/reconstruction.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/ops/masked_loss.h"
#include "engine/ops/patch.h"
#include "engine/tensor/autograd.h"
#include "kernels/masked_loss.h"

namespace gestalt {
namespace {

constexpr int64_t columns = 4;

// Puts predictions back on the scale of the images: x · deviation + mean of each target patch.
void restore_scale(std::vector<float>& prediction, const std::vector<float>& target, size_t begin, size_t size) {
  double sum = 0, squares = 0;
  for (size_t i = begin; i < begin + size; ++i) sum += target[i];
  const double mean = sum / static_cast<double>(size);
  for (size_t i = begin; i < begin + size; ++i) squares += (target[i] - mean) * (target[i] - mean);
  const double deviation = std::sqrt(squares / static_cast<double>(size - 1) + kernels::patch_variance_epsilon);
  for (size_t i = begin; i < begin + size; ++i) prediction[i] = static_cast<float>(prediction[i] * deviation + mean);
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
  const int64_t patches = grid.patches(), size = grid.size(), row = r.side * 3, pixels = grid.height * grid.width * 3;
  const std::vector<float> images = r.images.values(), masked = r.masked.values();
  std::vector<float> predictions = r.predictions.values();
  std::vector<uint8_t> hidden(static_cast<size_t>(grid.batch * patches), 0);
  for (size_t i = 0; i < masked.size(); ++i)
    hidden[i / static_cast<size_t>(r.masked.dim(1)) * patches + static_cast<size_t>(masked[i])] = 1;
  if (r.norm_pixels) {
    const std::vector<float> targets = gather_patches(r.images.to(Device::cpu), {}, r.side, DType::f32).values();
    for (int64_t p = 0; p < grid.batch * patches; ++p) restore_scale(predictions, targets, p * size, size);
  }

  Tensor tiles = Tensor::empty({grid.batch * columns, grid.height, grid.width, 3});
  for (int64_t i = 0; i < grid.batch * patches * r.side; ++i) {  // a row of a patch
    const int64_t patch = i / r.side, b = patch / patches, at = grid.row_begin(b, patch % patches, i % r.side);
    float* tile = tiles.data<float>() + b * columns * pixels + at - b * pixels;
    for (int64_t j = 0; j < row; ++j) {
      const float input = images[at + j], output = predictions[i * row + j];
      const int64_t channel = j % 3;
      const float grey = (128 / 255.0f - normalisation.mean[channel]) / normalisation.std[channel];
      tile[j] = input;
      tile[pixels + j] = hidden[patch] ? grey : input;
      tile[2 * pixels + j] = output;
      tile[3 * pixels + j] = hidden[patch] ? output : input;
    }
  }
  return draw_sheet(tiles, columns, normalisation);
}

}  // namespace gestalt
