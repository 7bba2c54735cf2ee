// Token cross-entropy with its gradient.
#include "engine/ops/cross_entropy.h"

#include "engine/tensor/autograd.h"
#include "kernels/cross_entropy.h"

namespace gestalt {

Tensor cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  const int64_t classes = logits.rank() >= 1 ? logits.dim(-1) : 0, rows = classes ? logits.count() / classes : 0;
  check(rows > 0 && targets.count() == rows && targets.dtype() == DType::i32,
        "[cross_entropy] got logits {} and targets {} {}, expected (…, V) and i32 (…)", logits.shape().text(),
        name(targets.dtype()), targets.shape().text());
  check(options.label_smoothing >= 0 && options.label_smoothing <= 1,
        "[cross_entropy] got label smoothing {}, expected 0 to 1", options.label_smoothing);
  const DType accumulator = accumulator_of(logits.dtype());
  Tensor lse = Tensor::empty({rows}, accumulator, logits.device());
  Tensor loss = Tensor::empty({1}, accumulator, logits.device());
  Tensor share = Tensor::empty({1}, accumulator, logits.device());
  kernels::launch(kernels::CrossEntropy{.logits = logits.in(),
                                        .target = targets.in(),
                                        .lse = lse.out(),
                                        .loss = loss.out(),
                                        .share = share.out(),
                                        .rows = rows,
                                        .classes = classes,
                                        .ignore = options.ignore_index,
                                        .smoothing = options.label_smoothing},
                  logits.stream());
  return record("cross_entropy", loss, {logits}, [=](const Tensor& dy) -> Grads {
    // The node's input and this closure each hold the logits.
    Tensor dlogits =
        logits.sole_owner(2) ? logits.detach() : Tensor::empty(logits.shape(), logits.dtype(), logits.device());
    kernels::launch(kernels::CrossEntropyBackward{.logits = logits.in(),
                                                  .target = targets.in(),
                                                  .lse = lse.in(),
                                                  .share = share.in(),
                                                  .dloss = dy.in(),
                                                  .dlogits = dlogits.out(),
                                                  .rows = rows,
                                                  .classes = classes,
                                                  .ignore = options.ignore_index,
                                                  .smoothing = options.label_smoothing},
                    dy.stream());
    return {dlogits};
  });
}

}  // namespace gestalt
