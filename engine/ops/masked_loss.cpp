// Masked reconstruction: loss and gradient.
#include "engine/ops/masked_loss.h"

#include "engine/tensor/autograd.h"
#include "kernels/loss_gradient.h"
#include "kernels/masked_loss.h"

namespace gestalt {
namespace {

kernels::PatchGrid grid_of(const Tensor& predictions, const Tensor& images, const Tensor& masked, int64_t side) {
  const bool tiled =
      images.rank() == 4 && images.dim(3) == 3 && side >= 1 && images.dim(1) % side == 0 && images.dim(2) % side == 0;
  check(tiled, "[masked_loss] got images {} and patches of {} pixels, expected (B, H, W, 3) with H and W multiples",
        images.shape().text(), side);
  const kernels::PatchGrid grid{images.dim(0), images.dim(1), images.dim(2), side};
  check(predictions.shape() == Shape{grid.batch, grid.patches(), grid.size()} &&
            images.dtype() == accumulator_of(predictions.dtype()),
        "[masked_loss] got predictions {} {} for images {}, expected ({}, {}, {}) for {}", name(predictions.dtype()),
        predictions.shape().text(), name(images.dtype()), grid.batch, grid.patches(), grid.size(),
        name(accumulator_of(predictions.dtype())));
  check(masked.rank() == 2 && masked.dim(0) == grid.batch && masked.dim(1) >= 1 && masked.dtype() == DType::i32,
        "[masked_loss] got masked {} {}, expected i32 ({}, M) with M of 1 or more; raise the mask ratio",
        name(masked.dtype()), masked.shape().text(), grid.batch);
  return grid;
}

}  // namespace

Tensor masked_loss(const Tensor& predictions, const Tensor& images, const Tensor& masked, int64_t side,
                   bool normalise) {
  const kernels::PatchGrid grid = grid_of(predictions, images, masked, side);
  const DType accumulator = accumulator_of(predictions.dtype());
  Tensor loss = Tensor::empty({1}, accumulator, predictions.device()), d;
  if (recording({predictions})) d = Tensor::empty(predictions.shape(), predictions.dtype(), predictions.device());
  const kernels::MaskedPatches of{predictions.in(), images.in(), masked.in(), grid, masked.dim(1), normalise};
  const double dloss = ExpectedSeed::value();
  kernels::launch(kernels::MaskedLoss{of, loss.out(), d.out(), dloss}, predictions.stream());
  return record("masked_loss", loss, {predictions}, [d, dloss](const Tensor& dy) mutable -> Grads {
    kernels::launch(kernels::ScaleLossGradient{dy.in(), d.out(), dloss, d.count()}, dy.stream());
    return {d};
  });
}

}  // namespace gestalt
