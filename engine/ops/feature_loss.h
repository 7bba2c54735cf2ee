// The loss of methods that predict features: I-JEPA's.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// predictions (B, K, D), features (B, T, D), index i32 (B, K) → (1): smooth L1 (½d² below 1, |d| − ½ above), mean over
// all elements, between prediction k of a batch element and row index[b, k] of its features after a layer norm without
// scale and shift (ε 1e-5). Assran et al. 2023, with the published code's loss. Only predictions get a gradient. Throws
// Error where shapes or dtypes do not fit.
Tensor feature_loss(const Tensor& predictions, const Tensor& features, const Tensor& index);

}  // namespace gestalt
