// Token cross-entropy with its gradient.
#include "engine/ops/cross_entropy.h"

#include "engine/tensor/autograd.h"
#include "kernels/cross_entropy.h"
#include "kernels/loss_gradient.h"

namespace gestalt {
namespace {

// `dlogits`: where the gradient is written, or undefined.
Tensor with_gradient(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options, Tensor dlogits) {
  const int64_t classes = logits.rank() >= 1 ? logits.dim(-1) : 0, rows = classes ? logits.count() / classes : 0;
  check(rows > 0 && targets.count() == rows && targets.dtype() == DType::i32,
        "[cross_entropy] got logits {} and targets {} {}, expected (…, V) and i32 (…)", logits.shape().text(),
        name(targets.dtype()), targets.shape().text());
  check(options.label_smoothing >= 0 && options.label_smoothing <= 1,
        "[cross_entropy] got label smoothing {}, expected 0 to 1", options.label_smoothing);
  Tensor loss = Tensor::empty({1}, accumulator_of(logits.dtype()), logits.device());
  const double dloss = ExpectedSeed::value();
  kernels::launch(kernels::CrossEntropy{.logits = logits.in(),
                                        .target = targets.in(),
                                        .loss = loss.out(),
                                        .dlogits = dlogits.out(),
                                        .rows = rows,
                                        .classes = classes,
                                        .ignore = options.ignore_index,
                                        .smoothing = options.label_smoothing,
                                        .dloss = dloss},
                  logits.stream());
  return record("cross_entropy", loss, {logits}, [dlogits, dloss](const Tensor& dy) mutable -> Grads {
    kernels::launch(kernels::ScaleLossGradient{dy.in(), dlogits.out(), dloss, dlogits.count()}, dy.stream());
    return {dlogits};
  });
}

Tensor beside(const Tensor& logits) { return Tensor::empty(logits.shape(), logits.dtype(), logits.device()); }

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  return with_gradient(logits, targets, options, recording({logits}) ? beside(logits) : Tensor());
}

Tensor cross_entropy(Tensor&& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  if (!recording({logits})) return with_gradient(logits, targets, options, {});
  const bool unseen = logits.impl()->node && logits.sole_owner();
  return with_gradient(logits, targets, options, unseen ? logits.detach() : beside(logits));
}

}  // namespace gestalt
