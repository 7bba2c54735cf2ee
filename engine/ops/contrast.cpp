// Losses between views with their gradients.
#include "engine/ops/contrast.h"

#include "engine/tensor/autograd.h"
#include "kernels/cosine.h"
#include "kernels/nt_xent.h"

namespace gestalt {
namespace {

// A fresh tensor that goes with x in the dtype that sums of x are held in.
Tensor accumulators(const Tensor& x, int64_t count) {
  return Tensor::empty({count}, accumulator_of(x.dtype()), x.device());
}

Tensor like(const Tensor& x) { return Tensor::empty(x.shape(), x.dtype(), x.device()); }

}  // namespace

// From here on e^(s/τ) of two opposite rows and of two equal ones both fit f32: 2/τ ≤ 60 + 87.
constexpr double least_temperature = 0.0137;

Tensor nt_xent(const Tensor& z, double temperature) {
  check(z.rank() == 2 && z.dim(0) >= 2 && z.dim(0) % 2 == 0 && z.dim(1) >= 1,
        "[nt_xent] got z {}, expected (2B, D): the first view of B images, then the second", z.shape().text());
  check(temperature >= least_temperature,
        "[nt_xent] got temperature {}, expected {} or more; below, f32 has no room for the exponentials", temperature,
        least_temperature);
  const int64_t rows = z.dim(0), dim = z.dim(1);
  Tensor row_sum = accumulators(z, rows), inv_norm = accumulators(z, rows), loss = accumulators(z, 1);
  kernels::launch(kernels::NtXent{.z = z.in(),
                                  .row_sum = row_sum.out(),
                                  .inv_norm = inv_norm.out(),
                                  .loss = loss.out(),
                                  .rows = rows,
                                  .dim = dim,
                                  .temperature = temperature},
                  z.stream());
  return record("nt_xent", loss, {z}, [=, z = z.detach()](const Tensor& dy) -> Grads {
    Tensor dz = like(z);
    kernels::launch(kernels::NtXentBackward{.z = z.in(),
                                            .row_sum = row_sum.in(),
                                            .inv_norm = inv_norm.in(),
                                            .dy = dy.in(),
                                            .dz = dz.out(),
                                            .rows = rows,
                                            .dim = dim,
                                            .temperature = temperature},
                    z.stream());
    return {dz};
  });
}

Tensor cosine_loss(const Tensor& p, const Tensor& z) {
  check(p.rank() == 2 && p.shape() == z.shape() && p.dtype() == z.dtype() && p.dim(0) >= 1,
        "[cosine_loss] got p {} {} and z {} {}, expected two of (N, D) in one dtype", name(p.dtype()), p.shape().text(),
        name(z.dtype()), z.shape().text());
  const int64_t rows = p.dim(0), dim = p.dim(1);
  Tensor cosine = accumulators(p, rows), inv_p = accumulators(p, rows), inv_z = accumulators(p, rows);
  Tensor loss = accumulators(p, 1);
  kernels::launch(kernels::CosineLoss{.p = p.in(),
                                      .z = z.in(),
                                      .cosine = cosine.out(),
                                      .inv_norm_p = inv_p.out(),
                                      .inv_norm_z = inv_z.out(),
                                      .loss = loss.out(),
                                      .rows = rows,
                                      .dim = dim},
                  p.stream());
  const bool need_dp = p.requires_grad(), need_dz = z.requires_grad();
  return record("cosine_loss", loss, {p, z}, [=, p = p.detach(), z = z.detach()](const Tensor& dy) -> Grads {
    Tensor dp = need_dp ? like(p) : Tensor(), dz = need_dz ? like(z) : Tensor();
    kernels::launch(kernels::CosineLossBackward{.p = p.in(),
                                                .z = z.in(),
                                                .cosine = cosine.in(),
                                                .inv_norm_p = inv_p.in(),
                                                .inv_norm_z = inv_z.in(),
                                                .dy = dy.in(),
                                                .dp = need_dp ? dp.out() : Out{},
                                                .dz = need_dz ? dz.out() : Out{},
                                                .rows = rows,
                                                .dim = dim},
                    p.stream());
    return {dp, dz};
  });
}

}  // namespace gestalt
