// Row ops, token ops and the cross-entropy, where the op table cannot reach: rates, exact values, memory reuse.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "engine/ops/cross_entropy.h"
#include "engine/ops/masked_loss.h"
#include "engine/ops/rows.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "tests/devices.h"
#include "tests/engine/ops/op_table.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

Tensor ints(const std::vector<int32_t>& values, const Shape& shape) {
  return Tensor::from(std::span<const int32_t>(values), shape);
}

std::vector<double> iota(int64_t count) {
  std::vector<double> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<double>(i);
  return values;
}

}  // namespace

TEST_CASE("counts_of on every device: how often each number is named") {
  for (Device device : devices()) {
    const Tensor named = ints({3, 0, 3, 5, 3, 0}, {2, 3}).to(device);
    CHECK(counts_of(named, 6).values() == std::vector<float>{2, 0, 0, 3, 0, 1});
  }
  CHECK_THROWS_WITH_AS(counts_of(Tensor::zeros({2}), 4), doctest::Contains("[counts_of] got indices f32"), Error);
}

TEST_CASE("dropout keeps the stated share, by its counters alone") {
  const Tensor x = Tensor::full({100003}, 1);
  const std::vector<float> y = dropout(x, 0.3, 5, 6, 7).values();
  double kept = 0, worst = 0;
  for (float v : y) {
    kept += v != 0;
    worst = std::max(worst, v == 0 ? 0 : std::abs(v - 1 / 0.7));
  }
  CHECK(worst < 1e-6);
  CHECK(kept / 100003 == doctest::Approx(0.7).epsilon(0.01));  // six standard deviations
  const Threads team(3);
  CHECK(dropout(x, 0.3, 5, 6, 7).values() == y);
  CHECK(dropout(x, 0.3, 5, 6, 8).values() != y);
  CHECK(dropout(x, 0.3, 5, 7, 7).values() != y);
  CHECK(dropout(x, 0.3, 4, 6, 7).values() != y);
  CHECK(dropout(x, 0, 5, 6, 7).same_storage(x));
}

TEST_CASE("normalize gives rows of unit length, and zeros for a zero row") {
  const std::vector<double> v = normalize(Tensor::from(std::vector<float>{3, 4, 0, 0}, {2, 2})).values64();
  CHECK(v[0] == doctest::Approx(0.6));
  CHECK(v[1] == doctest::Approx(0.8));
  CHECK(v[2] == 0);
  CHECK(v[3] == 0);
}

TEST_CASE("layer_norm, softmax and log_softmax on numbers worked by hand") {
  // Mean 4, variance 6: normalised −3/√6, 0, 3/√6.
  const Tensor x = Tensor::from(std::vector<double>{1, 4, 7}, {1, 3});
  const Tensor gamma = Tensor::from(std::vector<double>{1, 2, 3}, {3});
  const Tensor beta = Tensor::from(std::vector<double>{0.5, -1, 2}, {3});
  const std::vector<double> y = layer_norm(x, gamma, beta, 0).values64();
  CHECK(y[0] == doctest::Approx(0.5 - 3 / std::sqrt(6.0)));
  CHECK(y[1] == doctest::Approx(-1));
  CHECK(y[2] == doctest::Approx(2 + 9 / std::sqrt(6.0)));
  const SumAndNorm r = residual_layer_norm(Tensor::full({1, 3}, -5, DType::f64), x, gamma, beta, 0);
  CHECK(r.sum.values64() == std::vector<double>{-4, -1, 2});
  CHECK(relative_error(r.normalized, layer_norm(x, gamma, beta, 0)) < 1e-12);

  const Tensor z = Tensor::from(std::vector<double>{0, std::log(2.0), std::log(5.0)}, {3});
  const std::vector<double> p = softmax(z).values64(), l = log_softmax(z).values64();
  for (int i = 0; i < 3; ++i) {
    const double expected = (i == 0 ? 1 : i == 1 ? 2 : 5) / 8.0;
    CHECK(p[i] == doctest::Approx(expected));
    CHECK(l[i] == doctest::Approx(std::log(expected)));
  }
}

TEST_CASE("cross_entropy does not count ignored rows, and is 0 when all are ignored") {
  // A uniform row costs ln 4; the other has all its mass on the target.
  Tensor z = Tensor::from(std::vector<float>{0, 0, 0, 0, 0, 200, 0, 0, 9, 9, 9, -9}, {3, 4});
  z.require_grad();
  const Tensor loss = cross_entropy(z, ints({2, 1, -100}, {3}));
  CHECK(loss.item() == doctest::Approx(std::log(4.0) / 2));
  loss.backward();
  const std::vector<double> g = z.grad().values64(), expected{0.125, 0.125, -0.375, 0.125, 0, 0, 0, 0, 0, 0, 0, 0};
  for (size_t i = 0; i < g.size(); ++i) CHECK(std::abs(g[i] - expected[i]) < 1e-6);

  z.set_grad({});
  const Tensor none = cross_entropy(z, ints({7, 7, 7}, {3}), {.ignore_index = 7});
  CHECK(none.item() == 0);
  none.backward();
  for (double v : z.grad().values64()) CHECK(v == 0);
}

TEST_CASE("cross_entropy's gradient takes the place of logits that nobody else holds") {
  Tensor x = draw_inputs({activation({6, 10})}, DType::f32, 21)[0];
  const Tensor targets = ints({1, 2, 3, 4, 5, 6}, {6});
  struct Result {
    std::vector<float> gradient;
    bool in_place;
  };
  auto walk = [&](bool give, bool hold) {
    x.set_grad({});
    const void* received = nullptr;
    Tensor logits = record("probe", x.clone(), {x}, [&](const Tensor& dy) -> Grads {
      received = dy.in().data;
      return {dy};
    });
    const void* memory = logits.in().data;
    const std::vector<float> before = logits.values();
    const Tensor held = hold ? logits : Tensor();
    const Tensor loss = give ? cross_entropy(std::move(logits), targets) : cross_entropy(logits, targets);
    loss.backward();
    if (hold) CHECK(held.values() == before);
    if (!give) CHECK(logits.values() == before);
    return Result{x.grad().values(), received == memory};
  };
  const Result lent = walk(false, false), held = walk(true, true), given = walk(true, false);
  CHECK(held.gradient == given.gradient);
  CHECK(lent.gradient == given.gradient);
  CHECK_FALSE(lent.in_place);
  CHECK_FALSE(held.in_place);
  CHECK(given.in_place);

  // A leaf is a parameter or a caller's numbers: it stays.
  const std::vector<float> before = x.values();
  x.set_grad({});
  const Tensor loss = cross_entropy(Tensor(x), targets);
  loss.backward();
  CHECK(x.values() == before);
  CHECK(x.grad().values() == given.gradient);
}

TEST_CASE("losses that make their gradients beforehand scale them by what their own gradient turns out to be") {
  Tensor x = draw_inputs({activation({2, 4, 12})}, DType::f32, 22)[0];
  const Tensor images = draw_inputs({activation({2, 4, 4, 3})}, DType::f32, 23)[0];
  const auto cross = [&] { return cross_entropy(x, ints({1, 2, 3, 4, 5, 6, 7, 8}, {8})); };
  const auto masked = [&] { return masked_loss(x, images, ints({0, 3, 1, 2}, {2, 2}), 2, true); };
  const auto gradient = [&](const std::function<Tensor()>& f, double expected, double seed) {
    x.set_grad({});
    const ExpectedSeed as(expected);
    f().backward(Tensor::full({1}, seed));
    return x.grad().values();
  };
  for (const std::function<Tensor()>& f : {std::function<Tensor()>(cross), std::function<Tensor()>(masked)}) {
    const std::vector<float> once = gradient(f, 1, 1), third = gradient(f, 1.0 / 3, 1.0 / 3);
    for (const auto& [expected, seed] : {std::pair{1.0, 1.0 / 3}, {1.0 / 3, 1.0}, {4.0, -2.0}}) {
      const std::vector<float> got = gradient(f, expected, seed);
      for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(once[i] * seed).epsilon(1e-5));
    }
    for (size_t i = 0; i < third.size(); ++i) CHECK(third[i] == doctest::Approx(once[i] / 3).epsilon(1e-5));
  }
  CHECK(ExpectedSeed::value() == 1);
  CHECK_THROWS_WITH_AS(ExpectedSeed(0), doctest::Contains("seed"), Error);
}

TEST_CASE("embedding adds the gradients of repeated rows and refuses what is not in the table") {
  Tensor table = Tensor::from(iota(6), {3, 2}).to(DType::f32).detach();
  table.require_grad();
  const Tensor y = embedding(table, ints({2, 0, 2}, {3}));
  CHECK(y.values() == std::vector<float>{4, 5, 0, 1, 4, 5});
  y.backward(Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {3, 2}));
  CHECK(table.grad().values() == std::vector<float>{3, 4, 0, 0, 6, 8});
  CHECK(embedding(table, ints({1}, {1}), DType::bf16).dtype() == DType::bf16);
  for (int bad : {-1, 3}) CHECK_THROWS_WITH_AS(embedding(table, ints({bad}, {1})), doctest::Contains("index"), Error);
}

TEST_CASE("scatter_tokens undoes gather_rows and fills the rest") {
  const Tensor x = Tensor::from(iota(12), {2, 3, 2}).to(DType::f32), index = ints({2, 0, 1, 2}, {2, 2});
  const Tensor visible = gather_rows(x, index);
  CHECK(visible.values() == std::vector<float>{4, 5, 0, 1, 8, 9, 10, 11});
  const Tensor y = scatter_tokens(visible, index, Tensor::full({2}, -1), 3);
  CHECK(y.values() == std::vector<float>{0, 1, -1, -1, 4, 5, -1, -1, 8, 9, 10, 11});
}

TEST_CASE("prepend_token and slice_tokens put and take the class token") {
  const Tensor x = Tensor::from(iota(4), {2, 1, 2}).to(DType::f32);
  const Tensor y = prepend_token(x, Tensor::full({2}, 9));
  CHECK(y.values() == std::vector<float>{9, 9, 0, 1, 9, 9, 2, 3});
  CHECK(slice_tokens(y, 1, 2).values() == x.values());
}

}  // namespace gestalt::test
