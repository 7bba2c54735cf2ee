// kNN and the linear probe on features whose answer is known.
#include <doctest/doctest.h>

#include <cmath>

#include "tasks/evaluation/knn.h"
#include "tasks/evaluation/linear.h"
#include "tests/golden_step.h"

namespace gestalt::test {
namespace {

// `count` points of three classes in 8 dimensions: a unit vector a class times `signal`, plus noise.
Features clusters(int64_t count, double signal, const std::string& seed) {
  std::vector<double> values = hash_uniform(seed, count * 8);
  Features f{{}, std::vector<int32_t>(static_cast<size_t>(count))};
  for (int64_t i = 0; i < count; ++i) {
    f.labels[i] = static_cast<int32_t>(i % 3);
    values[i * 8 + i % 3] += signal;
  }
  f.features = Tensor::from(values, {count, 8}).to(DType::f32);
  return f;
}

}  // namespace

TEST_CASE("probes: separable features are classified, features without a signal are not") {
  const Features train = clusters(600, 2, "train"), test = clusters(300, 2, "test");
  CHECK(knn_accuracy(train, test, 3, {.k = 20}) > 99);
  CHECK(linear_accuracy(train, test, 3, {.epochs = 20}) > 99);
  const Features noise = clusters(600, 0, "train"), other = clusters(300, 0, "test");
  CHECK(std::abs(knn_accuracy(noise, other, 3, {.k = 20}) - 33.3) < 12);
  CHECK(std::abs(linear_accuracy(noise, other, 3, {.epochs = 20}) - 33.3) < 12);
  CHECK(linear_accuracy(train, test, 3, {.epochs = 5}) == linear_accuracy(train, test, 3, {.epochs = 5}));
}

TEST_CASE("probes: k larger than the bank is cut to it, labels must be there") {
  Features train = clusters(30, 2, "train"), test = clusters(30, 2, "test");
  CHECK(knn_accuracy(train, test, 3, {.k = 1000}) > 80);
  train.labels.clear();
  CHECK_THROWS_WITH_AS(knn_accuracy(train, test, 3, {}), doctest::Contains("labels"), Error);
  CHECK_THROWS_WITH_AS(linear_accuracy(train, test, 3, {}), doctest::Contains("labels"), Error);
}

}  // namespace gestalt::test
