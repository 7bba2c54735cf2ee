// 3 × 3 convolutions with fewer multiplications: a quarter at stride 1, 9 of 16 at stride 2 (Winograd's minimal
// filtering).
#pragma once

#include "kernels/conv.h"

namespace gestalt::kernels::cpu::winograd {

// True where this is faster than a direct convolution: 3 × 3, stride 1 or 2, padding 1, channels in whole vectors and a
// few dozen tiles or more; f32, or bf16 on a processor without matrix units (at stride 2: without products of bf16).
bool serves(const ConvShape&, DType);

// F(4 × 4, 3 × 3) of Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", at stride 2 F(4, 2) and
// single taps, and its transpose for the weights' gradient. Sums and transforms are f32 whatever the dtype.
void forward(const Conv&);
void backward_input(const ConvBackwardInput&);
void backward_weights(const ConvBackwardWeights&);

}  // namespace gestalt::kernels::cpu::winograd
