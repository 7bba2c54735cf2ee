// Initial values by inverse transforms of Philox words.
#include "engine/tensor/random.h"

#include <cmath>
#include <numbers>

#include "kernels/check.h"
#include "kernels/cpu/parallel.h"
#include "kernels/philox.h"

namespace gestalt {
namespace {

// Element i of a normal(0, 1) tensor, the model's `number`th; `attempt` redraws it (Box and Muller 1958).
double normal_at(uint64_t seed, uint64_t number, uint32_t i, uint32_t attempt) {
  const Philox4 r = draw(seed, Use::weights, number, i, attempt);
  const double u = (r.word[0] + 0.5) * 0x1p-32, v = (r.word[1] + 0.5) * 0x1p-32;
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

// Element i of the tensor is value(i), by however many threads.
template <class F>
Tensor generate(const Shape& shape, F&& value) {
  Tensor t = Tensor::empty(shape);
  float* out = t.data<float>();
  const int64_t count = t.count();
  check(count <= int64_t{1} << 32, "[random] got {}, expected up to 2^32 elements", shape.text());
  kernels::cpu::parallel_ranges(count, 8192, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = static_cast<float>(value(static_cast<uint32_t>(i)));
  });
  return t;
}

}  // namespace

Tensor Random::uniform(const Shape& shape, double low, double high) {
  const uint64_t number = tensors_++;
  return generate(shape, [&](uint32_t i) {
    const Philox4 r = draw(seed_, Use::weights, number, i, 0);
    return low + (high - low) * (r.word[0] + 0.5) * 0x1p-32;
  });
}

Tensor Random::normal(const Shape& shape, double mean, double deviation) {
  const uint64_t number = tensors_++;
  return generate(shape, [&](uint32_t i) { return mean + deviation * normal_at(seed_, number, i, 0); });
}

Tensor Random::truncated_normal(const Shape& shape, double deviation) {
  const uint64_t number = tensors_++;
  return generate(shape, [&](uint32_t i) {
    double z = normal_at(seed_, number, i, 0);
    for (uint32_t attempt = 1; std::abs(z) > 2; ++attempt) z = normal_at(seed_, number, i, attempt);
    return deviation * z;
  });
}

}  // namespace gestalt
