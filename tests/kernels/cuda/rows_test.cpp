// Row kernels on CUDA at widths that take every way of holding a row, against the CPU.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "engine/ops/rows.h"
#include "engine/tensor/autograd.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/kernels/cuda/orders.h"

namespace gestalt::test {
namespace {

using Op = std::function<Tensor(const Tensor& x, const Tensor& gamma, const Tensor& beta)>;

// y and the gradients of all operands.
std::vector<float> both_passes(const Op& op, int64_t rows, int64_t columns, DType dtype, Device device) {
  const auto drawn = [&](const char* what, const Shape& shape, DType d) {
    return Tensor::from(hash_uniform(what, shape.count()), shape).to(d).to(device).detach().require_grad();
  };
  const Tensor x = drawn("x", {rows, columns}, dtype);
  const Tensor gamma = drawn("gamma", {columns}, DType::f32), beta = drawn("beta", {columns}, DType::f32);
  const Tensor y = op(x, gamma, beta);
  y.backward(drawn("dy", y.shape(), dtype).detach());
  std::vector<float> all = y.values();
  for (const Tensor& part : {x.grad(), gamma.grad(), beta.grad()})
    if (part)
      for (const float v : part.values()) all.push_back(v);
  return all;
}

}  // namespace

TEST_CASE("cuda: row kernels agree with the CPU at every width" * doctest::skip(without_cuda)) {
  const Op ops[] = {
      [](const Tensor& x, const Tensor& gamma, const Tensor& beta) { return layer_norm(x, gamma, beta); },
      [](const Tensor& x, const Tensor&, const Tensor&) { return softmax(x); },
      [](const Tensor& x, const Tensor&, const Tensor&) { return normalize(x); },
  };
  // In packs held by a warp (of layer norm's gradient by two blocks or one), by a block and by none; by single
  // elements.
  for (const int64_t columns : {200, 768, 1000, 2048, 8208, 701, 1333})
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const Op& op : ops) {
        CAPTURE(columns);
        const int64_t rows = columns < 1024 ? 21 : 3;
        const auto got = in_every_order([&] { return both_passes(op, rows, columns, dtype, Device::cuda); });
        const auto expected = both_passes(op, rows, columns, dtype, Device::cpu);
        REQUIRE(got.size() == expected.size());
        double worst = 0;
        for (size_t i = 0; i < got.size(); ++i) {
          const double off = std::abs(double{got[i]} - expected[i]) / (1 + std::abs(expected[i]));
          worst = std::max(worst, std::isfinite(got[i]) ? off : INFINITY);
        }
        CHECK(worst < (dtype == DType::f32 ? 2e-5 : 0.02));
      }
}

}  // namespace gestalt::test
