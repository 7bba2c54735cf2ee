// 3 × 3 convolutions of stride 1 with a quarter of the multiplications (Winograd's minimal filtering).
#pragma once

#include "kernels/conv.h"

namespace gestalt::kernels::cpu::winograd {

// True where this is faster than oneDNN's direct convolution: 3 × 3, stride 1, padding 1, channels in whole vectors and
// a few dozen tiles or more; f32, or bf16 on a processor without matrix units.
bool serves(const ConvShape&, DType);

// F(4 × 4, 3 × 3) of Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", and its transpose for
// the weights' gradient. Sums and transforms are f32 whatever the dtype.
void forward(const Conv&);
void backward_input(const ConvBackwardInput&);
void backward_weights(const ConvBackwardWeights&);

}  // namespace gestalt::kernels::cpu::winograd
