// Losses that read their rows once on CUDA, at sizes that take every way of keeping a row, against the CPU.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/ops/cross_entropy.h"
#include "engine/ops/masked_loss.h"
#include "engine/tensor/autograd.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/kernels/cuda/orders.h"

namespace gestalt::test {
namespace {

// The loss and `rows` times its gradient, which is made in place of the logits or beside them.
std::vector<float> cross(int64_t rows, int64_t classes, DType dtype, bool in_place, Device device) {
  std::vector<double> values = hash_uniform("logits", rows * classes);
  for (double& v : values) v *= 20;
  std::vector<int32_t> targets(rows);
  for (int64_t i = 0; i < rows; ++i) targets[i] = i == 1 ? -100 : static_cast<int32_t>(i * 7919 % classes);
  const Tensor of = Tensor::from(std::span<const int32_t>(targets), Shape{rows}).to(device);
  const Tensor x = Tensor::from(values, {rows, classes}).to(dtype).to(device).detach().require_grad();
  Tensor logits = record("probe", x.clone(), {x}, [](const Tensor& dy) -> Grads { return {dy}; });
  const CrossEntropyOptions options{.label_smoothing = 0.1};
  const Tensor loss = in_place ? cross_entropy(std::move(logits), of, options) : cross_entropy(logits, of, options);
  loss.backward();
  std::vector<float> all = x.grad().values();
  for (float& g : all) g *= static_cast<float>(rows);
  all.push_back(loss.item());
  return all;
}

}  // namespace

TEST_CASE("cuda: cross-entropy agrees with the CPU where rows are kept and where they are read again" *
          doctest::skip(without_cuda)) {
  // Rows for a warp; for a block that keeps them, with elements before and behind the packs; too long to be kept.
  for (const int64_t classes : {300, 1025, 2501, 50304, 120001})
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const bool in_place : {false, true}) {
        CAPTURE(classes);
        CAPTURE(in_place);
        const auto got = in_every_order([&] { return cross(3, classes, dtype, in_place, Device::cuda); });
        const auto expected = cross(3, classes, dtype, in_place, Device::cpu);
        REQUIRE(got.size() == expected.size());
        double worst = 0;
        for (size_t i = 0; i < got.size(); ++i) {
          const double off = std::abs(double{got[i]} - expected[i]) / (1e-3 + std::abs(expected[i]));
          worst = std::max(worst, std::isfinite(got[i]) ? off : INFINITY);
        }
        CHECK(worst < (dtype == DType::f32 ? 2e-5 : 0.01));
      }
}

TEST_CASE("cuda: a masked patch that is none makes the loss NaN, and a loss without a gradient is the same" *
          doctest::skip(without_cuda)) {
  const auto on_device = [](const char* what, const Shape& shape) {
    return Tensor::from(hash_uniform(what, shape.count()), shape).to(DType::f32).to(Device::cuda).detach();
  };
  const Tensor images = on_device("images", {2, 8, 8, 3});
  const Tensor predictions = on_device("predictions", {2, 4, 48}).require_grad();
  for (const int32_t patch : {3, 4, -1}) {
    const std::vector<int32_t> picks{0, 2, 1, patch};
    const Tensor masked = Tensor::from(std::span<const int32_t>(picks), Shape{2, 2}).to(Device::cuda);
    const float loss = masked_loss(predictions, images, masked, 4, true).item();
    const float alone = masked_loss(predictions.detach(), images, masked, 4, true).item();
    CHECK(std::isnan(loss) == (patch != 3));
    CHECK(std::isnan(alone) == (patch != 3));
    if (patch == 3) CHECK(loss == alone);
  }
}

}  // namespace gestalt::test
