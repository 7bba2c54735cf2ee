// Directions, and the statistic of Epps and Pulley with its gradient.
#include "engine/ops/sigreg.h"

#include "engine/tensor/autograd.h"
#include "kernels/sigreg.h"

namespace gestalt {

Tensor random_slices(int64_t slices, int64_t dim, uint64_t seed, kernels::Varying<uint64_t> step, Device device) {
  check(slices >= 1 && dim >= 1, "[random_slices] got {} slices of {} numbers, expected 1 or more of both", slices,
        dim);
  Tensor y = Tensor::empty({slices, dim}, DType::f32, device);
  kernels::launch(kernels::RandomSlices{y.out(), slices, dim, seed, step}, y.stream());
  return y;
}

Tensor epps_pulley(const Tensor& p, int64_t views) {
  check(p.rank() == 2 && p.count() >= 1, "[epps_pulley] got p {}, expected (N, M) with both 1 or more",
        p.shape().text());
  check(views >= 1 && p.dim(0) % views == 0, "[epps_pulley] got {} views of {} rows, expected as many rows of each",
        views, p.dim(0));
  const DType accumulator = accumulator_of(p.dtype());
  const int64_t rows = p.dim(0) / views, slices = p.dim(1);
  Tensor slopes = Tensor::empty({views, 2 * kernels::slice_nodes, slices}, accumulator, p.device());
  Tensor loss = Tensor::empty({1}, accumulator, p.device());
  kernels::launch(
      kernels::EppsPulley{
          .p = p.in(), .slopes = slopes.out(), .loss = loss.out(), .views = views, .rows = rows, .slices = slices},
      p.stream());
  return record("epps_pulley", loss, {p}, [=, p = p.detach()](const Tensor& dy) -> Grads {
    Tensor dp = Tensor::empty(p.shape(), p.dtype(), p.device());
    kernels::launch(kernels::EppsPulleyBackward{.p = p.in(),
                                                .slopes = slopes.in(),
                                                .dloss = dy.in(),
                                                .dp = dp.out(),
                                                .views = views,
                                                .rows = rows,
                                                .slices = slices},
                    dy.stream());
    return {dp};
  });
}

}  // namespace gestalt
