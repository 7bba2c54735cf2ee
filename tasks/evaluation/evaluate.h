// The evaluation protocols: they see an encoder and labelled images, and nothing of how it was trained.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/data/images/image_set.h"
#include "models/encoder.h"
#include "tasks/training/task.h"

namespace gestalt {

// How images reach an encoder: centre view, size and normalisation as in training.
struct ViewOptions {
  int64_t size = 32;
  std::string normalisation = "none";
  int64_t batch = 256;
  Device device = Device::cpu;
  DType dtype = DType::f32;
};

struct Features {
  Tensor features;              // (N, D) f32, on the device that made them
  std::vector<int32_t> labels;  // (N)
};

// What features are standardised by.
struct Moments {
  std::vector<double> mean, variance;  // (D)
};
Moments moments_of(const Tensor& features);  // (N, D) f32

// Features of every image of `set` in evaluation mode (running statistics, no gradient).
Features extract_features(Encoder& encoder, const std::shared_ptr<ImageSet>& set, const ViewOptions& options);
// The pixels themselves, flattened: what a representation must beat.
Features raw_pixels(const std::shared_ptr<ImageSet>& set, const ViewOptions& options);

struct KnnOptions {
  int64_t k = 200;
  double temperature = 0.1;
  void fields(Fields& f);
  std::string protocol() const;
};
// Accuracy in percent of weighted cosine kNN (Wu et al. 2018, section 3.4): votes weigh exp(similarity / temperature).
double knn_accuracy(const Features& train, const Features& test, int64_t classes, const KnnOptions& options);

struct LinearOptions {
  int64_t epochs = 100, batch = 256;
  double rate = 0.1;  // for a batch of 256
  double decay = 0;
  int64_t seed = 1;
  bool augment = false;  // by augmented_linear_accuracy()
  double crop_min = 0.08, flip = 0.5;
  void fields(Fields& f);
  std::string protocol() const;
};
// Test accuracy in percent of a linear classifier trained on frozen features, standardised by the training set's mean
// and deviation: SGD with momentum 0.9 and a cosine, last epoch, offline. Views are not augmented, so each image is
// encoded once; linear_probe.h has the other way.
double linear_accuracy(const Features& train, const Features& test, int64_t classes, const LinearOptions& options);

}  // namespace gestalt
