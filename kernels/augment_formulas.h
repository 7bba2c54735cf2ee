// What the augmentation kernel draws and computes per pixel, written once for host and device.
#pragma once

#include <cmath>

#include "kernels/augment.h"
#include "kernels/math.h"
#include "kernels/philox.h"

namespace gestalt::kernels {

// A number in [low, high). In f64, so that host and device round to the same float.
GESTALT_HOST_DEVICE double draw_between(double low, double high, uint32_t word) {
  return low + (high - low) * static_cast<double>(uniform(word));
}

// An integer in [0, bound), bound < 2^31.
GESTALT_HOST_DEVICE int32_t draw_below(int32_t bound, uint32_t word) {
  return static_cast<int32_t>((static_cast<uint64_t>(word) * static_cast<uint32_t>(bound)) >> 32);
}

// torchvision's RandomResizedCrop.get_params: ten tries, then the largest centred box of an allowed ratio.
// Numbers 0 to 9 of the view.
GESTALT_HOST_DEVICE void draw_crop(const AugmentParameters& p, uint64_t seed, uint64_t step, uint32_t sample,
                                   uint32_t view, int32_t height, int32_t width, AugmentDraw& d) {
  const double area = static_cast<double>(height) * width;
  const double log_low = std::log(static_cast<double>(p.crop_ratio.low));
  const double log_high = std::log(static_cast<double>(p.crop_ratio.high));
  d.clip = true;
  for (uint32_t attempt = 0; attempt < 10; ++attempt) {
    const Philox4 r = draw(seed, Use::view, step, sample, slot_of_view(view, attempt));
    const double target = area * draw_between(p.crop_area.low, p.crop_area.high, r.word[0]);
    const double ratio = std::exp(draw_between(log_low, log_high, r.word[1]));
    const double w = std::nearbyint(std::sqrt(target * ratio)), h = std::nearbyint(std::sqrt(target / ratio));
    if (w < 1 || w > width || h < 1 || h > height) continue;
    d.height = static_cast<float>(h), d.width = static_cast<float>(w);
    d.top = static_cast<float>(draw_below(height - static_cast<int32_t>(h) + 1, r.word[2]));
    d.left = static_cast<float>(draw_below(width - static_cast<int32_t>(w) + 1, r.word[3]));
    return;
  }
  const double ratio = static_cast<double>(width) / height;
  double w = width, h = height;
  if (ratio < p.crop_ratio.low) h = std::nearbyint(w / p.crop_ratio.low);
  if (ratio > p.crop_ratio.high) w = std::nearbyint(h * p.crop_ratio.high);
  h = h < 1 ? 1 : (h > height ? height : h), w = w < 1 ? 1 : (w > width ? width : w);
  d.height = static_cast<float>(h), d.width = static_cast<float>(w);
  d.top = static_cast<float>(std::floor((height - h) / 2)), d.left = static_cast<float>(std::floor((width - w) / 2));
}

// The box that Resize(size / crop_fraction) and CenterCrop(size) show, in pixels of the image.
GESTALT_HOST_DEVICE void evaluation_crop(const AugmentParameters& p, int32_t height, int32_t width, int64_t size,
                                         AugmentDraw& d) {
  const double side = std::nearbyint(static_cast<double>(size) / p.crop_fraction);
  const int32_t shorter = height < width ? height : width;
  const double resized_height = height == shorter ? side : std::floor(side * height / shorter);
  const double resized_width = width == shorter ? side : std::floor(side * width / shorter);
  const double y_scale = height / resized_height, x_scale = width / resized_width;
  d.clip = false;
  d.height = static_cast<float>(size * y_scale), d.width = static_cast<float>(size * x_scale);
  d.top = static_cast<float>(std::nearbyint((resized_height - size) / 2) * y_scale);
  d.left = static_cast<float>(std::nearbyint((resized_width - size) / 2) * x_scale);
}

// What view `view` of data set image `sample` (height × width pixels) gets at `step`, at output size `size`.
GESTALT_HOST_DEVICE AugmentDraw draw_augment(const AugmentParameters& p, uint64_t seed, uint64_t step, uint32_t sample,
                                             uint32_t view, int32_t height, int32_t width, int64_t size) {
  AugmentDraw d = {};
  d.brightness = d.contrast = d.saturation = 1;
  for (int i = 0; i < 4; ++i) d.order[i] = static_cast<ColorOp>(i);
  if (p.evaluation) {
    evaluation_crop(p, height, width, size, d);
    return d;
  }
  draw_crop(p, seed, step, sample, view, height, width, d);
  const Philox4 chance = draw(seed, Use::view, step, sample, slot_of_view(view, 10));
  const Philox4 factor = draw(seed, Use::view, step, sample, slot_of_view(view, 11));
  const Philox4 rest = draw(seed, Use::view, step, sample, slot_of_view(view, 12));
  d.flip = uniform(chance.word[0]) < p.flip;
  d.grayscale = uniform(chance.word[2]) < p.grayscale;
  if (uniform(chance.word[1]) < p.jitter) {
    d.brightness = static_cast<float>(draw_between(p.brightness.low, p.brightness.high, factor.word[0]));
    d.contrast = static_cast<float>(draw_between(p.contrast.low, p.contrast.high, factor.word[1]));
    d.saturation = static_cast<float>(draw_between(p.saturation.low, p.saturation.high, factor.word[2]));
    d.hue = static_cast<float>(draw_between(p.hue.low, p.hue.high, factor.word[3]));
    int32_t code = draw_below(24, rest.word[0]);  // Fisher and Yates with the digits of one of the 4! orders
    for (int i = 3; i > 0; --i) {
      const int j = code % (i + 1);
      code /= i + 1;
      const ColorOp swapped = d.order[i];
      d.order[i] = d.order[j], d.order[j] = swapped;
    }
  }
  if (uniform(chance.word[3]) < p.blur)
    d.blur_sigma = static_cast<float>(draw_between(p.blur_sigma.low, p.blur_sigma.high, rest.word[1]));
  d.solarize = uniform(rest.word[2]) < p.solarize;
  return d;
}

// Antialiased bilinear resampling along one axis: output i is Σ_k weight(k) · input[first + k] / Σ_k weight(k).
// A triangle of half-width max(1, scale) input pixels, cut at the borders, as torchvision with antialias=True.
struct ResampleWindow {
  int32_t first, count;
  float start, steepness;

  GESTALT_HOST_DEVICE float weight(int32_t k) const {
    const float distance = (start + static_cast<float>(k)) * steepness;
    const float w = 1.0f - (distance < 0 ? -distance : distance);
    return w > 0 ? w : 0.0f;
  }
};

// Window of output pixel i, where `scale` is input pixels per output pixel, `origin` the box's edge, and inputs are
// taken from [begin, end) only.
GESTALT_HOST_DEVICE ResampleWindow resample_window(int32_t i, double scale, double origin, int32_t begin, int32_t end) {
  const double center = origin + scale * (i + 0.5), support = scale > 1 ? scale : 1;
  const double from = std::floor(center - support + 0.5), to = std::floor(center + support + 0.5);
  // A box that rounding pushed over the border still sees the border's pixel.
  const int32_t last = to > end ? end : (to <= begin ? begin + 1 : static_cast<int32_t>(to));
  const int32_t first = from < begin ? begin : (from >= last ? last - 1 : static_cast<int32_t>(from));
  return {first, last - first, static_cast<float>(first + 0.5 - center), static_cast<float>(1 / support)};
}

// Most inputs that any window of this scale has.
GESTALT_HOST_DEVICE int32_t resample_taps(double scale) {
  return 2 * static_cast<int32_t>(std::ceil(scale > 1 ? scale : 1)) + 1;
}

struct Rgb {
  float r, g, b;
};

GESTALT_HOST_DEVICE float clamp_unit(float x) { return x < 0 ? 0.0f : (x > 1 ? 1.0f : x); }

GESTALT_HOST_DEVICE float luma(Rgb p) { return 0.2989f * p.r + 0.587f * p.g + 0.114f * p.b; }

GESTALT_HOST_DEVICE Rgb adjust_brightness(Rgb p, float factor) {
  return {clamp_unit(p.r * factor), clamp_unit(p.g * factor), clamp_unit(p.b * factor)};
}

// Away from `other` by `factor`: contrast, where it is the image's mean luma, and saturation, where it is the pixel's.
GESTALT_HOST_DEVICE Rgb blend(Rgb p, float other, float factor) {
  const float base = (1.0f - factor) * other;
  return {clamp_unit(p.r * factor + base), clamp_unit(p.g * factor + base), clamp_unit(p.b * factor + base)};
}

// One channel of HSV → RGB: value − chroma·clamp(min(k, 4 − k), 0, 1), k = (n + hue in sixths) mod 6.
GESTALT_HOST_DEVICE float hue_channel(float n, float sixths, float value, float chroma) {
  float k = n + sixths;
  k = k >= 6 ? k - 6 : k;
  return value - chroma * clamp_unit(k < 4 - k ? k : 4 - k);
}

// Turns the colour circle by `hue` in [-0.5, 0.5]. Without branches: RGB → hue and chroma → RGB (Smith 1978).
GESTALT_HOST_DEVICE Rgb adjust_hue(Rgb p, float hue) {
  const float rg_high = p.r > p.g ? p.r : p.g, rg_low = p.r > p.g ? p.g : p.r;
  const float high = rg_high > p.b ? rg_high : p.b, low = rg_low < p.b ? rg_low : p.b;
  const float chroma = high - low, per_chroma = 1.0f / (chroma > 0 ? chroma : 1.0f);
  const float from_red = (p.g - p.b) * per_chroma;
  const float from_green = (p.b - p.r) * per_chroma + 2;
  const float from_blue = (p.r - p.g) * per_chroma + 4;
  float sixths = high == p.r ? from_red : (high == p.g ? from_green : from_blue);
  sixths += 6 * hue;
  sixths = sixths < 0 ? sixths + 6 : sixths;
  sixths = sixths >= 6 ? sixths - 6 : sixths;
  return {hue_channel(5, sixths, high, chroma), hue_channel(3, sixths, high, chroma),
          hue_channel(1, sixths, high, chroma)};
}

GESTALT_HOST_DEVICE float solarize(float x, float threshold) { return x >= threshold ? 1.0f - x : x; }

// Taps on each side of the blur's centre that matter in f32: the kernel's half, and no more than 6 sigma (e^-18).
GESTALT_HOST_DEVICE int32_t blur_radius(const AugmentParameters& p, float sigma, int64_t size) {
  const int64_t taps = p.blur_kernel > 0 ? p.blur_kernel : (size < 30 ? 3 : (size / 10) | 1);
  const int64_t half = taps / 2 < size - 1 ? taps / 2 : size - 1;
  const double reach = std::ceil(6.0 * sigma);
  return static_cast<int32_t>(reach < static_cast<double>(half) ? reach : static_cast<double>(half));
}

// Weight of the tap `distance` pixels from the centre, before division by the sum of weights.
GESTALT_HOST_DEVICE float blur_weight(int32_t distance, float sigma) {
  const float x = static_cast<float>(distance) / sigma;
  return fast_exp(-0.5f * x * x);
}

// Index into [0, size) of a pixel outside, mirrored at the border pixels' centres; |outside| < size.
GESTALT_HOST_DEVICE int64_t reflect(int64_t i, int64_t size) {
  i = i < 0 ? -i : i;
  return i >= size ? 2 * (size - 1) - i : i;
}

}  // namespace gestalt::kernels
