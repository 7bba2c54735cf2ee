// Losses between views: NT-Xent and the cosine regression of BYOL.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// The contrastive loss of SimCLR (Chen et al. 2020, equation 1), mean over the rows of z (2B, D): rows i and i+B are
// two views of one image. The L2 normalisation of the rows is part of the op. Gives a (1) tensor in the accumulator's
// dtype. Takes memory for about three copies of z, never a (2B, 2B) matrix. A row of zeros gets no gradient.
// Throws Error unless z is (2B, D) with B of 1 or more and the temperature is 0.0137 or more: below, f32 would lose
// similarities, and with all of a row the loss.
Tensor nt_xent(const Tensor& z, double temperature);

// mean over rows of 2 − 2·cos(p_i, z_i), for p and z of (N, D): the loss of BYOL (Grill et al. 2020, equation 2) and,
// up to its constant and scale, of SimSiam. Gives a (1) tensor in the accumulator's dtype. Both arguments get gradients
// unless detached; a target is detached by the caller. A row of zeros has cosine 0 and gets no gradient.
// Throws Error unless shapes and dtypes agree.
Tensor cosine_loss(const Tensor& p, const Tensor& z);

}  // namespace gestalt
