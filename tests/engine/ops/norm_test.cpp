// Batch normalisation and pooling, where the op table cannot reach: running statistics, evaluation, exact values.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/ops/batch_norm.h"
#include "engine/ops/pool.h"
#include "tests/engine/ops/op_table.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

Tensor row(std::initializer_list<float> values) {
  const std::vector<float> v(values);
  return Tensor::from(std::span<const float>(v), {static_cast<int64_t>(v.size())});
}

Tensor matrix(std::initializer_list<float> values, const Shape& shape) { return row(values).reshape(shape); }

void check_values(const Tensor& t, std::initializer_list<double> expected) {
  const std::vector<double> values = t.values64();
  REQUIRE(values.size() == expected.size());
  size_t i = 0;
  for (double e : expected) CHECK(values[i++] == doctest::Approx(e).epsilon(1e-5));
}

}  // namespace

TEST_CASE("batch_norm moves the running statistics and leaves them alone in evaluation") {
  // Channel 0: mean 3, variance 3.5 biased and 14/3 unbiased. Channel 1 is constant.
  const Tensor x = matrix({1, 5, 2, 5, 3, 5, 6, 5}, {4, 2});
  const Tensor gamma = row({2, 1}), beta = row({0.5, -1});
  Tensor mean = row({1, 0}), var = row({1, 1});
  BatchNormOptions options{.momentum = 0.25};
  const Tensor y = batch_norm(x, gamma, beta, mean, var, options);
  check_values(mean, {1.5, 1.25});
  check_values(var, {0.75 + 0.25 * 14 / 3, 0.75});
  const double s = 2 / std::sqrt(3.5 + 1e-5);
  check_values(y, {0.5 - 2 * s, -1, 0.5 - s, -1, 0.5, -1, 0.5 + 3 * s, -1});

  options.training = false;
  const Tensor z = batch_norm(x.slice(0, 1), gamma, beta, mean, var, options);
  check_values(mean, {1.5, 1.25});
  check_values(
      z, {0.5 + 2 * (1 - 1.5) / std::sqrt(0.75 + 0.25 * 14 / 3 + 1e-5), -1 + (5 - 1.25) / std::sqrt(0.75 + 1e-5)});
}

TEST_CASE("batch_norm keeps its precision under a large mean") {
  Tensor x = draw_inputs({activation({4096, 16})}, DType::f32, 3)[0].detach();
  const Tensor one = Tensor::full({16}, 1), zero = Tensor::zeros({16});
  auto normalised = [&](const Tensor& t) { return batch_norm(t, one, zero, zero.clone(), one.clone()); };
  const Tensor centred = normalised(x);
  float* p = x.data<float>();
  for (int64_t i = 0; i < x.count(); ++i) p[i] += 1024;  // exact for these inputs to about 2⁻¹³
  CHECK(relative_error(normalised(x), centred) < 1e-4);
}

TEST_CASE("batch_norm does not depend on the number of threads") {
  auto results = [](int threads) {
    const Threads team(threads);
    std::vector<Tensor> in = draw_inputs({activation({3000, 24}), weights({24}), weights({24})}, DType::f32, 5);
    const Tensor y = batch_norm(in[0], in[1], in[2], Tensor::zeros({24}), Tensor::zeros({24}), {.relu = true});
    y.backward(Tensor::full(y.shape(), 0.7));
    return std::vector<std::vector<float>>{y.values(), in[0].grad().values(), in[1].grad().values()};
  };
  CHECK(results(1) == results(3));
}

TEST_CASE("max_pool2d takes the first of equal values, and NaN before all") {
  Tensor x = matrix({1, 1, 1, 1}, {1, 2, 2, 1});
  x.require_grad();
  const Tensor y = max_pool2d(x, 2, 2);
  y.backward(Tensor::full(y.shape(), 3));
  check_values(x.grad(), {3, 0, 0, 0});
  CHECK(std::isnan(max_pool2d(matrix({1, NAN, 2, 3}, {1, 2, 2, 1}), 2, 2).item()));
  CHECK(max_pool2d(matrix({-1, -2, -3, -4}, {1, 2, 2, 1}), 3, 2, 1).item() == -1);
}

TEST_CASE("average_pool2d counts padding as zeros") {
  CHECK(average_pool2d(matrix({9, 18, 27, 36}, {1, 2, 2, 1}), 3, 2, 1).item() == doctest::Approx(10));
}

}  // namespace gestalt::test
