// Fine-tuning: how good an encoder is as the start of supervised training, with all labels or few.
#pragma once

#include "tasks/evaluation/supervised.h"

namespace gestalt {

struct FinetuneOptions : SupervisedOptions {
  double labels = 1;       // share of each class's training images that is used; see few_labels()
  double layer_decay = 1;  // each layer's rate is this times that of the layer above; 1: none

  FinetuneOptions() { optimizer = {.kind = "adamw", .rate = 1e-3, .decay = 0.05, .warmup_epochs = 5}; }
  void fields(Fields& f);
  FinetuneOptions of_bank(int64_t images) const;  // as they are used: no batch is larger than the set
  std::string protocol() const;
};

// The factor on the learning rate of `part`, named as in the fine-tuned whole ("encoder.blocks.0.norm1.weight",
// "head.bias"): decay^(layers − layer), 1 for the head (Clark et al. 2020, §3.4.1; Bao et al. 2022; He et al. 2022).
double layer_rate(const Encoder& encoder, const std::string& part, double decay);

// Trains `encoder` and a linear classifier on its features together, by cross-entropy on augmented views of the
// labelled images; then gives the accuracy in percent on the centre views of `test` (last epoch). `encoder` is left
// trained, on the view's device. Deterministic in the options' seed. Throws Error for sets without labels, a layer
// decay for an encoder whose layers have no order, or a loss that is not finite.
double finetune_accuracy(Encoder& encoder, const std::shared_ptr<ImageSet>& train,
                         const std::shared_ptr<ImageSet>& test, const ViewOptions& view, const FinetuneOptions& options,
                         const EpochProgress& progress = {});

}  // namespace gestalt
