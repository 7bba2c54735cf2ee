// Patch ops: checks, launches and the gradient.
#include "engine/ops/patch.h"

#include <cmath>

#include "engine/tensor/autograd.h"
#include "kernels/patch.h"

namespace gestalt {

Tensor gather_patches(const Tensor& images, const Tensor& index, int64_t side, DType dtype) {
  const bool tiled =
      images.rank() == 4 && images.dim(3) == 3 && side >= 1 && images.dim(1) % side == 0 && images.dim(2) % side == 0;
  check(tiled, "[gather_patches] got images {} and patches of {} pixels, expected (B, H, W, 3) with H and W multiples",
        images.shape().text(), side);
  const kernels::PatchGrid grid{images.dim(0), images.dim(1), images.dim(2), side};
  check(!index || (index.rank() == 2 && index.dim(0) == grid.batch && index.dtype() == DType::i32),
        "[gather_patches] got images {} and index {}, expected i32 (B, K)", images.shape().text(),
        index ? index.shape().text() : "");
  const int64_t picked = index ? index.dim(1) : grid.patches();
  Tensor y = Tensor::empty({grid.batch, picked, grid.size()}, dtype, images.device());
  kernels::launch(kernels::GatherPatches{images.in(), index.in(), y.out(), grid, picked}, images.stream());
  return record(
      "gather_patches", y, {images},
      [index, grid, picked, shape = images.shape(), from = images.dtype()](const Tensor& dy) -> Grads {
        Tensor dimages = Tensor::empty(shape, from, dy.device());
        kernels::launch(kernels::GatherPatchesBackward{dy.in(), index.in(), dimages.out(), grid, picked}, dy.stream());
        return {dimages};
      });
}

PatchMask random_mask(const Tensor& samples, int64_t patches, double ratio, uint64_t seed,
                      kernels::Varying<uint64_t> step) {
  check(samples.rank() == 1 && samples.dtype() == DType::i32, "[random_mask] got samples {} {}, expected i32 (B)",
        name(samples.dtype()), samples.shape().text());
  const int64_t batch = samples.dim(0);
  check(batch >= 1 && patches >= 1 && ratio >= 0 && ratio < 1,
        "[random_mask] got {} images of {} patches and a ratio of {}, expected 1 or more and a ratio in [0, 1)", batch,
        patches, ratio);
  // The small addend keeps 10 · (1 − 0.7) from becoming 2.
  const auto share = static_cast<int64_t>(std::floor(static_cast<double>(patches) * (1 - ratio) + 1e-9));
  const int64_t kept = std::max<int64_t>(1, share);
  const auto make = [&](int64_t count) { return Tensor::empty({batch, count}, DType::i32, samples.device()); };
  PatchMask mask{make(kept), make(1 + kept), make(patches - kept)};
  kernels::launch(kernels::RandomMask{.samples = samples.in(),
                                      .visible = mask.visible.out(),
                                      .places = mask.places.out(),
                                      .masked = mask.masked.out(),
                                      .batch = batch,
                                      .patches = patches,
                                      .kept = kept,
                                      .seed = seed,
                                      .step = step},
                  samples.stream());
  return mask;
}

}  // namespace gestalt
