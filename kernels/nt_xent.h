// NT-Xent, the contrastive loss of SimCLR, without its similarity matrix.
#pragma once

#include <algorithm>

#include "kernels/launch.h"

namespace gestalt::kernels {

// What is subtracted from every logit u_i·u_j/τ inside the exponential. Rows have unit length, so logits end at 1/τ:
// a constant serves where a softmax needs its running maximum, and e^60 leaves f32 room for the sum of any batch.
inline double nt_xent_offset(double temperature) { return std::max(0.0, 1 / temperature - 60); }

// Into how many parts CUDA cuts the columns when it gathers gradients: few rows alone do not fill a device.
inline int64_t nt_xent_gradient_parts(int64_t rows) { return rows <= 16384 ? 2 : 1; }

// Elements of the accumulator's dtype that the two kernels below need as scratch; nothing in it outlives a launch.
inline int64_t nt_xent_scratch(int64_t rows, int64_t dim, Device device) {
  const int64_t padded_rows = (rows + 63) / 64 * 64, padded_dim = (dim + 63) / 64 * 64;
  const int64_t matrices = device == Device::cpu ? 3 : 1 + nt_xent_gradient_parts(rows);
  return matrices * padded_rows * padded_dim + 16 * padded_rows;
}

// With u_i = z_i/‖z_i‖, s_ij = u_i·u_j and p(i) = (i + rows/2) mod rows (Chen et al. 2020, equation 1, mean over rows):
// row_sum[i] = Σ_{j≠i} e^(s_ij/τ − offset), loss = 1/rows Σ_i (log row_sum[i] + offset − s_ip(i)/τ).
// A row shorter than 1e-12 counts as a zero vector and gets no gradient: inv_norm is 0 there.
struct NtXent {
  In z;                   // (rows, dim)
  Out row_sum, inv_norm;  // (rows), the accumulator's dtype
  Out loss;               // (1), the accumulator's dtype
  Out scratch;            // (nt_xent_scratch), the accumulator's dtype
  int64_t rows, dim;      // rows is even
  double temperature;
};
GESTALT_KERNEL(NtXent)
inline Cost cost(const NtXent& k) {
  return {.flops = 2 * real(k.rows) * real(k.rows) * real(k.dim), .bytes = traffic(k.rows * k.dim, k.z), .loss = true};
}

// dz = dy · ∂loss/∂z. With e_ij recomputed a tile at a time and e symmetric,
// ∂loss/∂u_i = 1/(rows·τ) · (Σ_j e_ij (1/row_sum[i] + 1/row_sum[j]) u_j − 2 u_p(i)): each row gathers its own.
struct NtXentBackward {
  In z;                  // (rows, dim)
  In row_sum, inv_norm;  // (rows)
  In dy;                 // (1), the accumulator's dtype
  Out dz;                // (rows, dim)
  Out scratch;
  int64_t rows, dim;
  double temperature;
};
GESTALT_KERNEL(NtXentBackward)
inline Cost cost(const NtXentBackward& k) {
  return {.flops = 2 * real(k.rows) * real(k.rows) * real(k.dim),
          .bytes = traffic(k.rows * k.dim, k.z, k.dz),
          .loss = true};
}

}  // namespace gestalt::kernels
