// Initial values by transforms of Philox words.
#include "engine/tensor/random.h"

#include "kernels/check.h"
#include "kernels/cpu/parallel.h"
#include "kernels/initial.h"

namespace gestalt {
namespace {

Tensor fresh(const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  check(t.count() <= int64_t{1} << 32, "[random] got {}, expected up to 2^32 elements", shape.text());
  return t;
}

}  // namespace

Tensor Random::uniform(const Shape& shape, double low, double high) {
  const uint64_t number = tensors_++;
  Tensor t = fresh(shape);
  float* out = t.data<float>();
  kernels::cpu::parallel_ranges(t.count(), 8192, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Philox4 r = draw(seed_, Use::weights, number, static_cast<uint32_t>(i), 0);
      out[i] = static_cast<float>(low + (high - low) * (r.word[0] + 0.5) * 0x1p-32);
    }
  });
  return t;
}

Tensor Random::normal(const Shape& shape, double mean, double deviation) {
  return normal(shape, mean, deviation, false);
}

Tensor Random::truncated_normal(const Shape& shape, double deviation) { return normal(shape, 0, deviation, true); }

Tensor Random::normal(const Shape& shape, double mean, double deviation, bool truncated) {
  Tensor t = fresh(shape);
  const kernels::NormalWeights k{.y = t.data<float>(),
                                 .count = t.count(),
                                 .seed = seed_,
                                 .number = tensors_++,
                                 .mean = mean,
                                 .deviation = deviation,
                                 .truncated = truncated};
  kernels::run_on_cpu(k);
  return t;
}

}  // namespace gestalt
