// Token cross-entropy.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

struct CrossEntropyOptions {
  int32_t ignore_index = -100;  // targets of this value do not count
  double label_smoothing = 0;   // in [0, 1]
};

// logits (…, V), targets i32 (…) → (1): the mean of −log softmax(logits)[target] over the targets that count, 0 (with
// zero gradients) if none does. Throws where a target is neither in [0, V) nor ignored. The gradient is made in the
// same pass over the logits: in their place if they are a temporary that nobody else holds, else in a tensor of their
// size.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options = {});
Tensor cross_entropy(Tensor&& logits, const Tensor& targets, const CrossEntropyOptions& options = {});

}  // namespace gestalt
