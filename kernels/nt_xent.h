// NT-Xent, the contrastive loss of SimCLR, without its similarity matrix.
#pragma once

#include <algorithm>

#include "kernels/launch.h"

namespace gestalt::kernels {

// What is subtracted from every logit u_i·u_j/τ inside the exponential. Rows have unit length, so logits end at 1/τ:
// a constant serves where a softmax needs its running maximum, and e^60 leaves f32 room for the sum of any batch.
inline double nt_xent_offset(double temperature) { return std::max(0.0, 1 / temperature - 60); }

// Into how many parts CUDA may cut the columns when it gathers gradients: few rows alone, 256 a block, do not fill a
// device.
inline int64_t nt_xent_gradient_parts(int64_t rows) {
  return std::clamp<int64_t>(32768 / std::max<int64_t>(1, rows), 1, 8);
}

constexpr int64_t nt_xent_tile = 64;       // rows and columns are padded to multiples of it
constexpr int64_t nt_xent_row_parts = 16;  // in which the sums of rows are held apart

// Working memory of the two kernels below: matrices padded to whole tiles, unit rows of T, sums of S.
template <class T, class S>
struct NtXentScratch {
  int64_t padded_rows, padded_dim, gradient_parts;
  T* units;     // (padded_rows, padded_dim)
  S* panels;    // CPU: the same as panels of columns
  S* gradient;  // (gradient_parts, padded_rows, padded_dim), of the unit rows
  S* partial;   // (nt_xent_row_parts, padded_rows), of the sums of the rows

  NtXentScratch(Scratch& memory, Device device, int64_t rows, int64_t dim)
      : padded_rows(divide_up(rows, nt_xent_tile) * nt_xent_tile),
        padded_dim(divide_up(dim, nt_xent_tile) * nt_xent_tile),
        gradient_parts(device == Device::cpu ? 1 : nt_xent_gradient_parts(rows)) {
    units = memory.take<T>(padded_rows * padded_dim);
    panels = memory.take<S>(device == Device::cpu ? padded_rows * padded_dim : 0);
    gradient = memory.take<S>(gradient_parts * padded_rows * padded_dim);
    partial = memory.take<S>(nt_xent_row_parts * padded_rows);
  }
};
inline int64_t nt_xent_scratch_bytes(DType dtype, Device device, int64_t rows, int64_t dim) {
  return dispatch_float(dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    return device == Device::cpu ? bytes_of<NtXentScratch<S, S>>(device, rows, dim)
                                 : bytes_of<NtXentScratch<T, S>>(device, rows, dim);
  });
}

// With u_i = z_i/‖z_i‖, s_ij = u_i·u_j and p(i) = (i + rows/2) mod rows (Chen et al. 2020, equation 1, mean over rows):
// row_sum[i] = Σ_{j≠i} e^(s_ij/τ − offset), loss = 1/rows Σ_i (log row_sum[i] + offset − s_ip(i)/τ).
// A row shorter than 1e-12 counts as a zero vector and gets no gradient: inv_norm is 0 there.
struct NtXent {
  In z;                   // (rows, dim)
  Out row_sum, inv_norm;  // (rows), the accumulator's dtype
  Out loss;               // (1), the accumulator's dtype
  int64_t rows, dim;      // rows is even
  double temperature;
};
GESTALT_KERNEL(NtXent)
inline Cost cost(const NtXent& k) {
  return {.flops = 2 * real(k.rows) * real(k.rows) * real(k.dim), .bytes = traffic(k.rows * k.dim, k.z), .loss = true};
}
inline int64_t scratch_bytes(const NtXent& k, Device device) {
  return nt_xent_scratch_bytes(k.z.dtype, device, k.rows, k.dim);
}

// dz = dy · ∂loss/∂z. With e_ij recomputed a tile at a time and e symmetric,
// ∂loss/∂u_i = 1/(rows·τ) · (Σ_j e_ij (1/row_sum[i] + 1/row_sum[j]) u_j − 2 u_p(i)): each row gathers its own.
struct NtXentBackward {
  In z;                  // (rows, dim)
  In row_sum, inv_norm;  // (rows)
  In dy;                 // (1), the accumulator's dtype
  Out dz;                // (rows, dim)
  int64_t rows, dim;
  double temperature;
};
GESTALT_KERNEL(NtXentBackward)
inline Cost cost(const NtXentBackward& k) {
  return {.flops = 2 * real(k.rows) * real(k.rows) * real(k.dim),
          .bytes = traffic(k.rows * k.dim, k.z, k.dz),
          .loss = true};
}
inline int64_t scratch_bytes(const NtXentBackward& k, Device device) {
  return nt_xent_scratch_bytes(k.z.dtype, device, k.rows, k.dim);
}

}  // namespace gestalt::kernels
