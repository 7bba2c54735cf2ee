// 1 × 1 convolutions that skip pixels: those that they meet are gathered, and the rest is a matrix product.
#pragma once

#include "kernels/conv.h"

namespace gestalt::kernels::cpu::pixel_product {

// True of filters of 1 × 1 with a stride, f32 and bf16. oneDNN 2.6 is not to be given them: on AVX2, with fewer input
// channels than 16, its gradient of the filters writes past its working memory and is wrong on several threads.
bool serves(const ConvShape&, DType);

// Working memory, at stream.scratch, of each of the three.
int64_t scratch_bytes(const ConvShape&, DType);

void forward(const Conv&, Stream);
void backward_input(const ConvBackwardInput&, Stream);
void backward_weights(const ConvBackwardWeights&, Stream);

}  // namespace gestalt::kernels::cpu::pixel_product
