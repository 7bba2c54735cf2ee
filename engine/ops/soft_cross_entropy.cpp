// Cross-entropy against soft targets with its gradient, and the moving centre.
#include "engine/ops/soft_cross_entropy.h"

#include "engine/tensor/autograd.h"
#include "kernels/soft_cross_entropy.h"

namespace gestalt {
namespace {

kernels::SoftPairs pairs_of(const Tensor& student, const Tensor& targets, int64_t images,
                            const SoftCrossEntropyOptions& options) {
  const DType accumulator = accumulator_of(student.dtype());
  const DType wanted = options.probabilities ? accumulator : student.dtype();
  check(student.rank() == 2 && targets.rank() == 2 && student.dim(1) >= 1 && targets.dim(1) == student.dim(1) &&
            targets.dtype() == wanted,
        "[soft_cross_entropy] got student {} {} and targets {} {}, expected (R, K) and (T, K) with targets of {}",
        name(student.dtype()), student.shape().text(), name(targets.dtype()), targets.shape().text(), name(wanted));
  check(images >= 1 && student.dim(0) % images == 0 && targets.dim(0) % images == 0,
        "[soft_cross_entropy] got {} student and {} target rows of {} images, expected whole views of each",
        student.dim(0), targets.dim(0), images);
  const kernels::SoftPairs pairs{images, student.dim(0) / images, targets.dim(0) / images, options.same_view};
  check(pairs.count() > 0, "[soft_cross_entropy] got no pair of views, expected one; add views or set same_view");
  const Tensor &centre = options.centre, &weights = options.weights;
  check(!centre || (centre.shape() == Shape{student.dim(1)} && centre.dtype() == accumulator),
        "[soft_cross_entropy] got centre {}, expected {} ({})", centre ? centre.shape().text() : "", name(accumulator),
        student.dim(1));
  check(!weights || (weights.shape() == Shape{student.dim(0)} && weights.dtype() == accumulator),
        "[soft_cross_entropy] got weights {}, expected {} ({})", weights ? weights.shape().text() : "",
        name(accumulator), student.dim(0));
  check(options.temperature > 0 && (options.target_temperature.place || options.target_temperature.value > 0),
        "[soft_cross_entropy] got temperatures {} and {}, expected positive ones", options.temperature,
        options.target_temperature.value);
  return pairs;
}

}  // namespace

SoftCrossEntropyLoss soft_cross_entropy(const Tensor& student, const Tensor& targets, int64_t images,
                                        const SoftCrossEntropyOptions& options) {
  const kernels::SoftPairs pairs = pairs_of(student, targets, images, options);
  const auto fresh = [&](int64_t count) {
    return Tensor::empty({count}, accumulator_of(student.dtype()), student.device());
  };
  Tensor lse = fresh(pairs.rows()), mass = fresh(pairs.rows()), target_lse = fresh(pairs.targets());
  Tensor loss = fresh(1), entropy = fresh(1), kl = fresh(1);
  // Backward needs the centre of now, which the method moves right after the loss.
  const Tensor centre = options.centre && recording({student}) ? options.centre.detach().clone() : options.centre;
  const kernels::SoftTargets of{targets.in(), centre.in(), options.target_temperature, options.probabilities};
  const int64_t classes = student.dim(1);
  kernels::launch(kernels::SoftCrossEntropy{.student = student.in(),
                                            .of = of,
                                            .weights = options.weights.in(),
                                            .lse = lse.out(),
                                            .mass = mass.out(),
                                            .target_lse = target_lse.out(),
                                            .loss = loss.out(),
                                            .entropy = entropy.out(),
                                            .kl = kl.out(),
                                            .pairs = pairs,
                                            .classes = classes,
                                            .temperature = options.temperature},
                  student.stream());
  const auto backward = [=, targets = targets.detach(), weights = options.weights,
                         temperature = options.temperature](const Tensor& dy) -> Grads {
    // The node's input and this closure each hold the logits.
    Tensor dstudent =
        student.sole_owner(2) ? student.detach() : Tensor::empty(student.shape(), student.dtype(), student.device());
    kernels::launch(
        kernels::SoftCrossEntropyBackward{.student = student.in(),
                                          .of = {targets.in(), centre.in(), of.temperature, of.probabilities},
                                          .weights = weights.in(),
                                          .lse = lse.in(),
                                          .mass = mass.in(),
                                          .target_lse = target_lse.in(),
                                          .dloss = dy.in(),
                                          .dstudent = dstudent.out(),
                                          .pairs = pairs,
                                          .classes = classes,
                                          .temperature = temperature},
        dy.stream());
    return {dstudent};
  };
  return {record("soft_cross_entropy", loss, {student}, backward), entropy, kl};
}

void update_centre(Tensor& centre, const Tensor& logits, double momentum) {
  check(logits.rank() == 2 && logits.dim(0) >= 1 && centre.shape() == Shape{logits.dim(1)} &&
            centre.dtype() == accumulator_of(logits.dtype()),
        "[update_centre] got centre {} {} and logits {} {}, expected {} (K) and (T, K)", name(centre.dtype()),
        centre.shape().text(), name(logits.dtype()), logits.shape().text(), name(accumulator_of(logits.dtype())));
  kernels::launch(kernels::UpdateCentre{logits.in(), centre.out(), logits.dim(0), logits.dim(1), momentum},
                  logits.stream());
}

}  // namespace gestalt
