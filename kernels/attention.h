// Multi-head self-attention on packed queries, keys and values, without the (length, length) matrix.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

struct AttentionShape {
  int64_t batch, length, heads, dim;  // dim: of one head
  bool causal;                        // position i sees positions 0 … i
};

// y = softmax(q·kᵀ / √dim)·v per batch element and head, tile by tile with a running maximum; Milakov and Gimelshein
// 2018, Dao et al. 2022.
struct Attention {
  In qkv;   // (batch, length, 3, heads, dim)
  Out y;    // (batch, length, heads, dim)
  Out lse;  // (batch, heads, length), the log of each row's sum of exponentials; the accumulator's dtype
  AttentionShape shape;
};
GESTALT_KERNEL(Attention)

// dqkv of Attention; the probabilities are recomputed from lse.
struct AttentionBackward {
  In qkv, y, dy, lse;
  Out dqkv;
  Out along;  // like lse: scratch of the CUDA form for Σ dy·y of each row; absent on the CPU
  AttentionShape shape;
};
GESTALT_KERNEL(AttentionBackward)

// Attention of `length` new positions, the first of them position `first`, for generation without gradients: their keys
// and values go into the cache, then position first + i sees cache rows 0 … first + i.
struct CachedAttention {
  In qkv;     // (batch, length, 3, heads, dim)
  Out cache;  // (batch, capacity, 2, heads, dim); rows before `first` are read
  Out y;      // (batch, length, heads, dim)
  AttentionShape shape;
  int64_t first, capacity;  // first + length ≤ capacity
};
GESTALT_KERNEL(CachedAttention)

}  // namespace gestalt::kernels
