// The linear probe on augmented views, as papers train it; linear_accuracy() is the fast one on cached features.
#pragma once

#include "tasks/evaluation/supervised.h"

namespace gestalt {

// Test accuracy in percent of a linear classifier on the features of the frozen `encoder` (evaluation mode, no
// gradient), trained on a new random crop and flip of each image in each epoch and tested on centre views. Features are
// standardised by the moments of the training images' centre views; optimizer, rate and schedule are linear_accuracy's.
// `encoder` is left on the view's device. Throws Error for sets without labels.
double augmented_linear_accuracy(Encoder& encoder, const std::shared_ptr<ImageSet>& train,
                                 const std::shared_ptr<ImageSet>& test, const ViewOptions& view,
                                 const LinearOptions& options, const EpochProgress& progress = {});

}  // namespace gestalt
