// Drawing noise: one launch, nothing to differentiate.
#include "engine/ops/noise.h"

#include "kernels/noise.h"

namespace gestalt {

Tensor normal_noise(const Tensor& samples, int64_t columns, uint64_t seed, kernels::Varying<uint64_t> step,
                    DType dtype) {
  check(samples.rank() == 1 && samples.dtype() == DType::i32 && samples.count() > 0 && columns >= 1,
        "[normal_noise] got samples {} {} and {} columns, expected i32 (B) and 1 or more", name(samples.dtype()),
        samples.shape().text(), columns);
  Tensor y = Tensor::empty({samples.dim(0), columns}, dtype, samples.device());
  kernels::launch(kernels::NormalNoise{.samples = samples.in(),
                                       .y = y.out(),
                                       .rows = samples.dim(0),
                                       .columns = columns,
                                       .seed = seed,
                                       .step = step},
                  samples.stream());
  return y;
}

}  // namespace gestalt
