// Ops that look up, pick, place and join rows: embeddings, masked tokens, class tokens.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// table (V, D), indices i32 of any shape (…) → (…, D) in `dtype`. Throws where an index is not in [0, V).
Tensor embedding(const Tensor& table, const Tensor& indices, DType dtype);
Tensor embedding(const Tensor& table, const Tensor& indices);  // in the table's dtype

// (length) f32, without history: how often indices, i32 in [0, length), name each number.
Tensor counts_of(const Tensor& indices, int64_t length);

// x (B, T, D), index i32 (B, K) → (B, K, D): row index[b, k] of each batch element.
Tensor gather_rows(const Tensor& x, const Tensor& index);

// The inverse: visible (B, K, D), index (B, K), its entries distinct in each row → (B, length, D), with mask_token (D)
// in the positions that index does not name. mask_token is f32 where visible is bf16. He et al. 2022 (MAE), §3.
Tensor scatter_tokens(const Tensor& visible, const Tensor& index, const Tensor& mask_token, int64_t length);

// x (B, T, D), mask i32 (B, T) of 0 and 1 → the same, with token (D) in the positions where the mask is 1. token is f32
// where x is bf16.
Tensor replace_tokens(const Tensor& x, const Tensor& mask, const Tensor& token);

// Rows of a, then rows of b, along the leading dimension.
Tensor concat(const Tensor& a, const Tensor& b);

// x (B, T, D), token (D) → (B, T + 1, D) with the token first. token is f32 where x is bf16.
Tensor prepend_token(const Tensor& x, const Tensor& token);

// x (B, T, D) → (B, end − begin, D): tokens [begin, end) of each batch element.
Tensor slice_tokens(const Tensor& x, int64_t begin, int64_t end);

}  // namespace gestalt
