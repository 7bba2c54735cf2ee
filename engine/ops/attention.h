// Multi-head self-attention.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// qkv (B, T, 3, H, D) → (B, T, H·D): softmax(q·kᵀ / √D)·v per head; causal: position t sees positions 0 … t. Vaswani
// et al. 2017, §3.2. Backward keeps qkv, the result and one number per row and head; no (T, T) matrix exists.
Tensor attention(const Tensor& qkv, bool causal);

// Causal attention of the T positions that follow the first `first` ones of `cache` (B, capacity, 2, H, D), whose keys
// and values it extends: qkv (B, T, 3, H, D) → (B, T, H·D). For generation: throws where a gradient would be recorded.
Tensor cached_attention(const Tensor& qkv, Tensor& cache, int64_t first);

}  // namespace gestalt
