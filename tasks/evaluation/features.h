// Features: what an encoder says of every image of a set.
#pragma once

#include <functional>
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
  int threads = 0;  // that decode; 0 is one a core
};
ViewOptions view_options(const ImageMethod& method);

// Centre views of some images, in order.
struct ViewBatch {
  Tensor images;                            // (B, size, size, 3), normalised
  std::vector<int32_t> samples;             // which they are
  int64_t end;                              // the image after the last one that was looked at
  Tensor pixels = {};                       // u8 (bytes): what the views were made from
  std::vector<kernels::Frame> frames = {};  // where in it each image lies
};
// Calls f on the images of `set` from number `first` on, a batch at a time, until it returns false. Damaged images are
// left out, and noted in the set.
void for_each_view(const std::shared_ptr<ImageSet>& set, const ViewOptions& options, int64_t first,
                   const std::function<bool(const ViewBatch&)>& f);

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

// Features of every image of `set` that is not damaged, in evaluation mode (running statistics, no gradient). Throws
// Error, saying that `what` is not finite, for one that is not.
Features extract_features(Encoder& encoder, const std::shared_ptr<ImageSet>& set, const ViewOptions& options,
                          const std::string& what = "the encoder's features; was it trained with too high an --lr?");
// The pixels themselves, normalised by the means and deviations of ImageNet and flattened: what a representation must
// beat.
Features raw_pixels(const std::shared_ptr<ImageSet>& set, const ViewOptions& options);

}  // namespace gestalt
