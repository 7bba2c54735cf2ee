// What bf16 is to this processor: numbers that it multiplies, or a form that operands of f32 products are kept in.
#pragma once

#include "kernels/memory.h"

namespace gestalt::kernels::cpu {

// True where oneDNN multiplies bf16 by instructions made for it. Elsewhere products and convolutions work on copies in
// f32 and round their results: below AVX-512 oneDNN refuses bf16, and what it emulates is slower than f32.
bool multiplies_bf16();

inline bool is_widened(DType dtype) { return dtype == DType::bf16 && !multiplies_bf16(); }

// `count` numbers of bf16 copied as f32 to `to`, which becomes the operand.
In widen(In from, int64_t count, float* to);

// `count` numbers rounded to bf16.
void narrow(const float* from, int64_t count, Out to);

}  // namespace gestalt::kernels::cpu
