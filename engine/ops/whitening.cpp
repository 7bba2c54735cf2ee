// Whitening with its gradient.
#include "engine/ops/whitening.h"

#include "engine/tensor/autograd.h"
#include "kernels/whitening.h"

namespace gestalt {

Tensor whiten(const Tensor& z, int64_t rows, double shrink) {
  check(z.rank() == 2 && (z.dtype() == DType::f32 || z.dtype() == DType::f64) && z.count() >= 1 && rows >= 2 &&
            z.dim(0) % rows == 0,
        "[whiten] got z {} {} in groups of {} rows, expected f32 or f64 (N, D) and whole groups", name(z.dtype()),
        z.shape().text(), rows);
  const int64_t dim = z.dim(1), groups = z.dim(0) / rows;
  check(dim <= kernels::most_whitened && rows >= 2 * dim,
        "[whiten] got groups of {} rows of {} numbers, expected at most {} numbers and twice as many rows; take a "
        "narrower embedding or larger groups",
        rows, dim, kernels::most_whitened);
  check(shrink >= 0 && shrink <= 1, "[whiten] got shrink {}, expected 0 to 1", shrink);
  Tensor y = Tensor::empty(z.shape(), z.dtype(), z.device());
  Tensor factor = Tensor::empty({groups, dim, dim}, z.dtype(), z.device());
  kernels::launch(kernels::Whiten{.z = z.in(),
                                  .y = y.out(),
                                  .factor = factor.out(),
                                  .groups = groups,
                                  .rows = rows,
                                  .dim = dim,
                                  .shrink = shrink},
                  z.stream());
  return record("whiten", y, {z}, [=, y = y.detach()](const Tensor& dy) -> Grads {
    Tensor dz = Tensor::empty(y.shape(), y.dtype(), y.device());
    kernels::launch(kernels::WhitenBackward{.y = y.in(),
                                            .factor = factor.in(),
                                            .dy = dy.in(),
                                            .dz = dz.out(),
                                            .groups = groups,
                                            .rows = rows,
                                            .dim = dim,
                                            .shrink = shrink},
                    dy.stream());
    return {dz};
  });
}

}  // namespace gestalt
