// Augmentation for tasks: the options a user sets, and views made from uint8 images.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "engine/run/fields.h"
#include "engine/tensor/tensor.h"
#include "kernels/augment.h"

namespace gestalt {

// How views are normalised: "none" leaves [0, 1], "half" makes it [-1, 1]; "imagenet" and "cifar10" subtract the set's
// mean and divide by its standard deviation, per channel.
struct Normalisation {
  float mean[3], std[3];
};
Normalisation normalisation(const std::string& name);

// The random views of SimCLR (Chen et al. 2020) and its successors, as a user sets them.
struct AugmentOptions {
  double crop_min = 0.08, crop_max = 1;
  double flip = 0.5;
  double jitter = 0.8, brightness = 0.4, contrast = 0.4, saturation = 0.4, hue = 0.1;
  double grayscale = 0.2;
  double blur = 0, blur_min = 0.1, blur_max = 2;
  double solarize = 0, solarize_threshold = 0.5;
  std::string normalise = "none";

  void fields(Fields&);
  // Throws Error where a value is out of its range.
  kernels::AugmentParameters parameters() const;
};

// Views of a batch: (views·count, size, size, 3) in `dtype` (f32 or bf16), all images' first view, then all second
// ones. `pixels` are u8 of any shape that `frames` point into; samples[i] is image i's index in its data set. A view
// depends on its image, parameters, seed, step, sample and number alone; the first of `views` has number `first_view`.
// Throws Error for frames outside `pixels`, empty images and parameters out of range.
Tensor augment(const Tensor& pixels, std::span<const kernels::Frame> frames, std::span<const int32_t> samples,
               std::span<const kernels::AugmentParameters> views, int64_t size, uint64_t seed, uint64_t step,
               DType dtype = DType::f32, int first_view = 0);

// The same with given draws, (views, count), instead of random ones: a replay.
Tensor augment(const Tensor& pixels, std::span<const kernels::Frame> frames,
               std::span<const kernels::AugmentParameters> views, std::span<const kernels::AugmentDraw> draws,
               int64_t size, DType dtype = DType::f32);

// What evaluation sees: (count, size, size, 3), the short side resized to size / crop_fraction and the centre cropped.
Tensor evaluation_view(const Tensor& pixels, std::span<const kernels::Frame> frames, int64_t size,
                       const Normalisation& normalisation, DType dtype = DType::f32, double crop_fraction = 1);

// What `augment` draws for view number `view` of an image of height × width pixels.
kernels::AugmentDraw draw_view(const kernels::AugmentParameters&, uint64_t seed, uint64_t step, int32_t sample,
                               int view, int32_t height, int32_t width, int64_t size);

// One line: "crop 20x24 at (3, 5), flip, jitter hue +0.031 contrast 1.20 …, grayscale, blur 0.85, solarize".
std::string describe(const kernels::AugmentDraw&);

}  // namespace gestalt
