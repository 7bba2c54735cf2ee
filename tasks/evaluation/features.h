// Features: what an encoder says of every image of a set.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/data/images/image_set.h"
#include "models/encoder.h"
#include "tasks/training/image_method.h"

namespace gestalt {

// How images reach an encoder: centre view, size and normalisation as in training.
struct ViewOptions {
  int64_t size = 32;
  std::string normalisation = "none";
  int64_t batch = 256;
  Device device = Device::cpu;
  DType dtype = DType::f32;
};
ViewOptions view_options(const ImageMethod& method);

struct Features {
  Tensor features;              // (N, D) f32, on the device that made them
  std::vector<int32_t> labels;  // (N)
};

// What features are standardised by.
struct Moments {
  std::vector<double> mean, variance;  // (D)
};
Moments moments_of(const Tensor& features);  // (N, D) f32

// The column of each row (N, C) f32 whose value is the largest, the first of equals. Throws Error for a value that is
// not finite: a NaN is smaller than nothing, and would make the first class the answer.
std::vector<int32_t> largest_columns(const Tensor& rows);
// Throws Error, naming `what`, unless all of `rows` is finite.
void check_finite_features(const Tensor& rows, const std::string& what);
double percent_right(const std::vector<int32_t>& predicted, const std::vector<int32_t>& labels);

// Features of every image of `set` in evaluation mode (running statistics, no gradient). Throws Error, saying that
// `what` is not finite, for one that is not.
Features extract_features(Encoder& encoder, const std::shared_ptr<ImageSet>& set, const ViewOptions& options,
                          const std::string& what = "the encoder's features; was it trained with too high an --lr?");
// The pixels themselves, normalised by the means and deviations of ImageNet and flattened: what a representation must
// beat.
Features raw_pixels(const std::shared_ptr<ImageSet>& set, const ViewOptions& options);

}  // namespace gestalt
