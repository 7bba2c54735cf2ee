// Supervised training: what fine-tuning and the linear probes share. It is a method like any other, with labels.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/data/images/augment.h"
#include "engine/nn/optimizer.h"
#include "tasks/evaluation/features.h"

namespace gestalt {

struct SupervisedOptions {
  int64_t epochs = 100, batch = 128, seed = 1;
  double crop_min = 0.08;  // of random resized crops; 1: none
  double flip = 0.5;
  double label_smoothing = 0;
  OptimizerOptions optimizer;

  AugmentOptions augmentation(const std::string& normalisation) const;
  std::string views() const;     // for a protocol: "crops from 0.08, flip 0.5" or "no augmentation"
  std::string schedule() const;  // for a protocol: optimizer, rate, warm-up and weight decay
};

// How far a training is: epochs done of all, and the mean training loss of the last one.
using EpochProgress = std::function<void(int64_t epoch, double loss)>;
// How parts named as in `classifier` depart from the common learning rate.
using RateOf = std::function<double(const std::string& part)>;

// Minimises the cross-entropy of `classifier`'s logits (B, classes) over the feed's first group of views and its
// labels, an epoch after the other, on `device` in `dtype`. Deterministic in the seed. Throws Error when the loss is
// not finite.
void train_classifier(Encoder& classifier, Feed& feed, Device device, DType dtype, const SupervisedOptions& options,
                      const EpochProgress& progress = {}, const RateOf& rate_of = {});
// The same on a random view of each image.
void train_classifier(Encoder& classifier, const std::shared_ptr<ImageSet>& images, const ViewOptions& view,
                      const SupervisedOptions& options, const EpochProgress& progress = {}, const RateOf& rate_of = {});

// In percent: how often the largest of the logits on the centre view is the label's.
double classifier_accuracy(Encoder& classifier, const std::shared_ptr<ImageSet>& test, const ViewOptions& view);

}  // namespace gestalt
