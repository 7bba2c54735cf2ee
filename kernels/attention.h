// Multi-head self-attention on packed queries, keys and values, without the (length, length) matrix.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

struct AttentionShape {
  int64_t batch, length, heads, dim;  // dim: of one head
  bool causal;                        // position i sees positions 0 … i
};

// Two products of (length, length) by (length, dim) forward, four backward: recomputing the scores is no need.
inline Cost cost(const AttentionShape& s, DType dtype, double products, double tensors) {
  const double seen = real(s.length) * real(s.causal ? s.length + 1 : 2 * s.length) / 2;  // (query, key) pairs
  const double one = real(s.batch * s.heads * s.dim);
  return {
      .flops = 2 * products * seen * one,
      .bytes = tensors * one * real(s.length) * real(size_of(dtype)),
      .shape = fmt::format("{} of {} heads, {} × {}{}", s.batch, s.heads, s.length, s.dim, s.causal ? ", causal" : "")};
}

// y = softmax(q·kᵀ / √dim)·v per batch element and head, tile by tile with a running maximum; Milakov and Gimelshein
// 2018, Dao et al. 2022.
struct Attention {
  In qkv;   // (batch, length, 3, heads, dim)
  Out y;    // (batch, length, heads, dim)
  Out lse;  // (batch, heads, length), the log of each row's sum of exponentials; the accumulator's dtype
  AttentionShape shape;
};
GESTALT_KERNEL(Attention)
inline Cost cost(const Attention& k) { return cost(k.shape, k.qkv.dtype, 2, 4); }

// dqkv of Attention; the probabilities are recomputed from lse.
struct AttentionBackward {
  In qkv, y, dy, lse;
  Out dqkv;
  AttentionShape shape;
};
GESTALT_KERNEL(AttentionBackward)
inline Cost cost(const AttentionBackward& k) { return cost(k.shape, k.qkv.dtype, 4, 8); }
// CUDA: Σ dy·y of each row.
inline int64_t scratch_bytes(const AttentionBackward& k, Device device) {
  const AttentionShape& s = k.shape;
  return device == Device::cuda ? s.batch * s.heads * s.length * size_of(DType::f32) : 0;
}

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
inline Cost cost(const CachedAttention& k) {
  const AttentionShape& s = k.shape;
  const double one = real(s.batch * s.heads * s.dim);
  const double seen = real(s.length) * (real(k.first) + real(s.length + 1) / 2);  // (query, key) pairs
  return {.flops = 4 * seen * one,
          .bytes = (real(6 * s.length) + real(2 * k.first)) * one * real(size_of(k.qkv.dtype)),
          .shape = fmt::format("{} of {} heads, {} after {} × {}", s.batch, s.heads, s.length, k.first, s.dim)};
}

}  // namespace gestalt::kernels
