// The regression of one set of directions onto another: BYOL's loss, with the normalisation inside.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// cosine[i] = p_i·z_i / (‖p_i‖ ‖z_i‖); loss = 1/rows Σ_i (2 − 2 cosine[i]) (Grill et al. 2020, equation 2).
// A row shorter than 1e-12 counts as a zero vector and gets no gradient: its inverse norm is 0.
struct CosineLoss {
  In p, z;                             // (rows, dim), one dtype
  Out cosine, inv_norm_p, inv_norm_z;  // (rows), the accumulator's dtype
  Out loss;                            // (1), the accumulator's dtype
  int64_t rows, dim;
};
GESTALT_KERNEL(CosineLoss)
inline Cost cost(const CosineLoss& k) { return {.bytes = traffic(k.rows * k.dim, k.p, k.z), .loss = true}; }

// dp = dy · ∂loss/∂p = −2·dy/rows · (z_i/‖z_i‖ − cosine[i] p_i/‖p_i‖) / ‖p_i‖, and dz the same with p and z exchanged.
struct CosineLossBackward {
  In p, z, cosine, inv_norm_p, inv_norm_z;
  In dy;       // (1), the accumulator's dtype
  Out dp, dz;  // (rows, dim); either may be absent
  int64_t rows, dim;
};
GESTALT_KERNEL(CosineLossBackward)
inline Cost cost(const CosineLossBackward& k) {
  return {.bytes = traffic(k.rows * k.dim, k.p, k.z, k.dp, k.dz), .loss = true};
}

}  // namespace gestalt::kernels
