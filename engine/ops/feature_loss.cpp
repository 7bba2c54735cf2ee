// Prediction in feature space: loss and gradient.
#include "engine/ops/feature_loss.h"

#include "engine/tensor/autograd.h"
#include "kernels/feature_loss.h"

namespace gestalt {

Tensor feature_loss(const Tensor& predictions, const Tensor& features, const Tensor& index) {
  check(predictions.rank() == 3 && features.rank() == 3 && predictions.count() > 0 &&
            features.shape().with(1, 0) == predictions.shape().with(1, 0) && features.dtype() == predictions.dtype(),
        "[feature_loss] got predictions {} {} and features {} {}, expected (B, K, D) and (B, T, D) of one dtype",
        name(predictions.dtype()), predictions.shape().text(), name(features.dtype()), features.shape().text());
  check(index.shape() == Shape{predictions.dim(0), predictions.dim(1)} && index.dtype() == DType::i32,
        "[feature_loss] got index {} {} for predictions {}, expected i32 ({}, {})", name(index.dtype()),
        index.shape().text(), predictions.shape().text(), predictions.dim(0), predictions.dim(1));
  Tensor loss = Tensor::empty({1}, accumulator_of(predictions.dtype()), predictions.device());
  const kernels::PickedFeatures of{predictions.in(),
                                   features.in(),
                                   index.in(),
                                   {predictions.dim(0), features.dim(1), predictions.dim(1), predictions.dim(2)}};
  kernels::launch(kernels::FeatureLoss{of, loss.out()}, predictions.stream());
  return record(
      "feature_loss", loss, {predictions},
      [predictions = predictions.detach(), features = features.detach(), index, of](const Tensor& dy) -> Grads {
        Tensor d = Tensor::empty(predictions.shape(), predictions.dtype(), predictions.device());
        kernels::launch(kernels::FeatureLossBackward{of, dy.in(), d.out()}, dy.stream());
        return {d};
      });
}

}  // namespace gestalt
