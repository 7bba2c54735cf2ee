// The one place that knows oneDNN: shapes in, a cached primitive out. Works with oneDNN 2.6 and 3.x.
#pragma once

#include <dnnl.hpp>

#include "kernels/conv.h"
#include "kernels/product.h"

namespace gestalt::kernels::cpu::onednn {

// A product whose operands may be parts of larger matrices. ld*: numbers from one row to the next as the matrix lies in
// memory; *_stride: from one matrix to the next. Several matrices of c lie one after another.
struct ProductBlock {
  In a, b, bias;
  Out c;
  int64_t m, n, k, batch;
  int64_t lda, ldb, ldc, a_stride, b_stride;
  bool transpose_a, transpose_b;
};

// These work in the calling thread alone. They take f32 and, where has_bf16_instructions(), bf16; all else is the
// caller's business.
void product(const ProductBlock&);
void conv_forward(const Conv&);
void conv_backward_input(const ConvBackwardInput&);
void conv_backward_weights(const ConvBackwardWeights&);

// True if bf16 products run on instructions made for them (AVX-512 with bf16, and what has it).
bool has_bf16_instructions();

// True if bf16 products run on matrix units (AMX), several times as fast as in vectors.
bool has_matrix_units();

}  // namespace gestalt::kernels::cpu::onednn
