// Assignments by Sinkhorn's algorithm; no gradient passes them.
#include "engine/ops/sinkhorn.h"

#include "kernels/sinkhorn.h"

namespace gestalt {

Assignment sinkhorn(const Tensor& scores, const SinkhornOptions& options) {
  const DType accumulator = accumulator_of(scores.dtype());
  check(scores.rank() == 2 && scores.dim(0) >= 1 && scores.dim(1) >= 1,
        "[sinkhorn] got scores {}, expected (R, K) with one row and class or more", scores.shape().text());
  const Tensor& extra = options.extra;
  check(!extra || (extra.rank() == 2 && extra.dim(1) == scores.dim(1) && extra.dtype() == accumulator),
        "[sinkhorn] got extra scores {} {}, expected {} (E, {})", extra ? name(extra.dtype()) : "",
        extra ? extra.shape().text() : "", name(accumulator), scores.dim(1));
  check(options.epsilon > 0 && options.rounds >= 0,
        "[sinkhorn] got epsilon {} and {} rounds, expected more than 0 and 0 or more", options.epsilon, options.rounds);
  const auto fresh = [&](const Shape& shape) { return Tensor::empty(shape, accumulator, scores.device()); };
  Assignment result{fresh(scores.shape()), fresh({1}), fresh({1})};
  kernels::launch(kernels::Sinkhorn{.extra = extra.in(),
                                    .scores = scores.in(),
                                    .use_extra = options.use_extra,
                                    .assignment = result.rows.out(),
                                    .mean_entropy = result.mean_entropy.out(),
                                    .used = result.used.out(),
                                    .extra_rows = extra ? extra.dim(0) : 0,
                                    .rows = scores.dim(0),
                                    .classes = scores.dim(1),
                                    .epsilon = options.epsilon,
                                    .rounds = options.rounds},
                  scores.stream());
  return result;
}

}  // namespace gestalt
