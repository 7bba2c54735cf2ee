// The fused augmentation kernel: uint8 images in, normalised views out, one pass, no intermediate image.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// Where an image lies in a byte buffer: NHWC rows of 3 channels, `height * width * 3` bytes from `offset` on.
struct Frame {
  int64_t offset;
  int32_t height, width;
};

struct Range {
  float low, high;
};

// How one view of every image is drawn. The operations and their order are torchvision's on floats in [0, 1]:
// random resized crop, flip, colour jitter in random order, grayscale, blur, solarize, normalise. All but the crop are
// off by default. Chen et al. 2020, appendix A; Grill et al. 2020, appendix B.
struct AugmentParameters {
  // Nothing random: the short side is resized to size / crop_fraction, then the centre is cropped.
  bool evaluation = false;
  float crop_fraction = 1;

  Range crop_area{0.08f, 1};                   // of the image's area
  Range crop_ratio{3.0f / 4.0f, 4.0f / 3.0f};  // width over height
  float flip = 0;                              // this and the next four: probability in [0, 1]
  float jitter = 0;
  float grayscale = 0;
  float blur = 0;
  float solarize = 0;
  Range brightness{1, 1}, contrast{1, 1}, saturation{1, 1};  // factors ≥ 0
  Range hue{0, 0};                                           // turns of the colour circle, in [-0.5, 0.5]
  Range blur_sigma{0.1f, 2};                                 // pixels of the view
  int32_t blur_kernel = 0;                                   // taps, odd; 0: a tenth of the view's size
  float solarize_threshold = 0.5f;
  float mean[3] = {0, 0, 0}, std[3] = {1, 1, 1};  // y = (x - mean) / std
};

enum class ColorOp : uint8_t { brightness, contrast, saturation, hue };

// What was drawn for one view of one image. A factor of 1, a hue of 0 and a sigma of 0 leave the image as it is.
struct AugmentDraw {
  float top, left, height, width;  // crop box in pixels of the image
  bool clip;                       // resampling does not look outside the box (a crop, then a resize)
  bool flip, grayscale, solarize;
  ColorOp order[4];
  float brightness, contrast, saturation, hue;
  float blur_sigma;
};

constexpr int max_augment_views = 16;

// All views of a batch. View v of image i is a pure function of (image, view[v], seed, step, samples[i], first_view +
// v). The CPU form needs one scratch image per thread (3·size² floats), kept between calls.
struct Augment {
  In pixels;                 // bytes that `frames` point into
  const Frame* frames;       // (count)
  const int32_t* samples;    // (count), index of each image in its data set
  const AugmentDraw* draws;  // (views, count) to replay, or null: drawn by draw_augment
  Out y;                     // (views, count, size, size, 3), f32 or bf16
  int64_t views, count, size;
  uint64_t seed, step;
  int32_t first_view;  // number of the launch's first view, for the draw
  AugmentParameters view[max_augment_views];
};
GESTALT_KERNEL(Augment)
// The images' sizes lie on the device: the views alone.
inline Cost cost(const Augment& k) {
  return {.bytes = traffic(k.views * k.count * k.size * k.size * 3, k.y),
          .shape = fmt::format("{} views of {}, {} pixels", k.views, k.count, k.size)};
}

}  // namespace gestalt::kernels
