// Losses between views: NT-Xent and the cosine regression of BYOL.
#pragma once

#include "engine/tensor.h"

namespace gestalt {

// The contrastive loss of SimCLR (Chen et al. 2020, equation 1), mean over the rows of z (2B, D): rows i and i+B are
// two views of one image. Rows need no normalisation; it is part of the op. Gives a (1) tensor in the accumulator's
// dtype. Needs memory for about two copies of z, never a (2B, 2B) matrix. Throws Error unless z is (2B, D) with B of 1
// or more and temperature is positive. A row of zeros gets no gradient.
Tensor nt_xent(const Tensor& z, double temperature);

}  // namespace gestalt
