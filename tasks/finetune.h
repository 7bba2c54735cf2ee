// Fine-tuning: how good an encoder is as the start of supervised training, with all labels or few.
#pragma once

#include <functional>

#include "tasks/evaluate.h"

namespace gestalt {

struct FinetuneOptions {
  int64_t epochs = 100, batch = 128, seed = 1;
  double labels = 1;       // share of each class's training images that is used; see few_labels()
  double crop_min = 0.08;  // of random resized crops; 1: none
  double flip = 0.5;
  double label_smoothing = 0;
  double layer_decay = 1;  // each layer's rate is this times that of the layer above; 1: none
  OptimizerOptions optimizer{.kind = "adamw", .rate = 1e-3, .decay = 0.05, .warmup_epochs = 5};

  void fields(Fields& f);
  std::string protocol() const;
};

// How far a fine-tuning is: epochs done of all, and the mean training loss of the last one.
using FinetuneProgress = std::function<void(int64_t epoch, double loss)>;

// Trains `encoder` and a linear classifier on its features together, by cross-entropy on augmented views of the
// labelled images; then gives the accuracy in percent on the centre views of `test` (last epoch). `encoder` is left
// trained, on the view's device. Deterministic in the options' seed. Throws Error for sets without labels or a loss
// that is not finite.
double finetune_accuracy(Encoder& encoder, const std::shared_ptr<ImageSet>& train,
                         const std::shared_ptr<ImageSet>& test, const ViewOptions& view, const FinetuneOptions& options,
                         const FinetuneProgress& progress = {});

}  // namespace gestalt
