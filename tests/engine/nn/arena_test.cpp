// Gradients in an arena: the first of a part is written where it belongs, the others are added.
#include "engine/nn/arena.h"

#include <doctest/doctest.h>

#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "engine/ops/rows.h"
#include "engine/tensor/random.h"
#include "tests/launches.h"

namespace gestalt::test {
namespace {

// A layer whose weight is used twice.
struct Twice : Module {
  explicit Twice(Random& random)
      : weight(random.normal({4, 4}, 0, 1)),
        bias(random.normal({4}, 0, 1)),
        gamma(random.normal({4}, 0, 1)),
        beta(random.normal({4}, 0, 1)) {}
  void visit(Visitor& v) override { v("weight", weight), v("bias", bias), v("gamma", gamma), v("beta", beta); }
  Tensor loss(const Tensor& x) const {
    const Tensor y = layer_norm(linear(linear(x, weight, bias), weight, {}), gamma, beta, 1e-5);
    return sum(multiply(y, y));
  }
  Tensor weight, bias, gamma, beta;
};

}  // namespace

TEST_CASE("arena: after zero_grads the first gradient of a part is written in its place, with the bits of the sum") {
  Random random(1);
  Twice module(random);
  for (Tensor* part : {&module.weight, &module.bias, &module.gamma, &module.beta}) part->require_grad();
  const Tensor x = random.normal({6, 4}, 0, 1);
  ParameterArena arena(module, Device::cpu, DType::f32);

  arena.adds = true;
  arena.zero_grads();
  int added = 0;
  {
    const Launches sums("Combine");
    module.loss(x).backward();
    added = sums.count;
  }
  const std::vector<float> expected = arena.grads.values();

  arena.adds = false;
  arena.grads.fill(7);
  arena.zero_grads();
  {
    const Launches sums("Combine");
    module.loss(x).backward();
    CHECK(sums.count == added - 4);  // one of each part; the weight's second use is a sum still
  }
  CHECK(arena.grads.values() == expected);
  module.loss(x).backward();
  const std::vector<float> twice = arena.grads.values();
  for (size_t i = 0; i < twice.size(); ++i) CHECK(twice[i] == doctest::Approx(2 * expected[i]).epsilon(1e-5));
}

}  // namespace gestalt::test
