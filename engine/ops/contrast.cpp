// Losses between views with their gradients.
#include "engine/ops/contrast.h"

#include "engine/autograd.h"
#include "kernels/nt_xent.h"

namespace gestalt {

Tensor nt_xent(const Tensor& z, double temperature) {
  check(z.rank() == 2 && z.dim(0) >= 2 && z.dim(0) % 2 == 0 && z.dim(1) >= 1,
        "[nt_xent] got z {}, expected (2B, D): the first view of B images, then the second", z.shape().text());
  check(temperature > 0, "[nt_xent] got temperature {}, expected a positive one", temperature);
  const int64_t rows = z.dim(0), dim = z.dim(1);
  const DType accumulator = accumulator_of(z.dtype());
  Tensor scratch = Tensor::empty({kernels::nt_xent_scratch(rows, dim)}, accumulator, z.device());
  Tensor row_sum = Tensor::empty({rows}, accumulator, z.device());
  Tensor inv_norm = Tensor::empty({rows}, accumulator, z.device());
  Tensor loss = Tensor::empty({1}, accumulator, z.device());
  kernels::launch(
      kernels::NtXent{z.in(), row_sum.out(), inv_norm.out(), loss.out(), scratch.out(), rows, dim, temperature},
      z.stream());
  return record("nt_xent", loss, {z},
                [z = z.detach(), row_sum, inv_norm, rows, dim, temperature](const Tensor& dy) -> Grads {
                  Tensor dz = Tensor::empty(z.shape(), z.dtype(), z.device());
                  Tensor scratch = Tensor::empty({kernels::nt_xent_scratch(rows, dim)}, row_sum.dtype(), z.device());
                  kernels::launch(kernels::NtXentBackward{z.in(), row_sum.in(), inv_norm.in(), dy.in(), dz.out(),
                                                          scratch.out(), rows, dim, temperature},
                                  z.stream());
                  return {dz};
                });
}

}  // namespace gestalt
