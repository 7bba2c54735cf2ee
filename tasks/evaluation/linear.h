// The linear probe: a linear classifier on frozen features, cached or of augmented views.
#pragma once

#include "tasks/evaluation/supervised.h"

namespace gestalt {

struct LinearOptions {
  int64_t epochs = 100, batch = 256;
  double rate = 0.1;  // for a batch of 256
  double decay = 0;
  int64_t seed = 1;
  bool augment = false;  // by augmented_linear_accuracy()
  double crop_min = 0.08, flip = 0.5;
  void fields(Fields& f);
  LinearOptions of_bank(int64_t images) const;  // as they are used: no batch is larger than the set
  std::string protocol() const;
};
// Test accuracy in percent of a linear classifier trained on frozen features, standardised by the training set's mean
// and deviation: SGD with momentum 0.9 and a cosine, last epoch, offline. Views are not augmented, so each image is
// encoded once; augmented_linear_accuracy() has the other way. The classifier is trained on `device`, where the
// features then lie whole.
double linear_accuracy(const Features& train, const Features& test, int64_t classes, const LinearOptions& options,
                       Device device = Device::cpu);

// Test accuracy in percent of a linear classifier on the features of the frozen `encoder` (evaluation mode, no
// gradient), trained on a new random crop and flip of each image in each epoch and tested on centre views. Features are
// standardised by the moments of the training images' centre views; optimizer, rate and schedule are linear_accuracy's.
// `encoder` is left on the view's device. Throws Error for sets without labels.
double augmented_linear_accuracy(Encoder& encoder, const std::shared_ptr<ImageSet>& train,
                                 const std::shared_ptr<ImageSet>& test, const ViewOptions& view,
                                 const LinearOptions& options, const EpochProgress& progress = {});

}  // namespace gestalt
