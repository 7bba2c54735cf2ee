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

TEST_CASE("probes: no number comes from a NaN, and what is printed is what was used") {
  const Features train = clusters(30, 2, "train"), test = clusters(30, 2, "test");
  for (const float odd : {NAN, INFINITY}) {
    Features broken = test;
    broken.features = test.features.clone();
    broken.features.data<float>()[17] = odd;
    CHECK_THROWS_WITH_AS(knn_accuracy(train, broken, 3, {}), doctest::Contains("test images"), Error);
    CHECK_THROWS_WITH_AS(knn_accuracy(broken, test, 3, {}), doctest::Contains("training images"), Error);
    CHECK_THROWS_WITH_AS(linear_accuracy(train, broken, 3, {}), doctest::Contains("NaN"), Error);
    CHECK_THROWS_WITH_AS(largest_columns(broken.features), doctest::Contains("--lr"), Error);
  }
  CHECK_THROWS_WITH_AS(linear_accuracy(train, test, 3, {.rate = -1}), doctest::Contains("--lr -1, expected 0"), Error);
  CHECK_THROWS_WITH_AS(knn_accuracy(train, test, 3, {.k = 0}), doctest::Contains("--knn-k 0, expected from 1"), Error);
  CHECK(KnnOptions{.k = 200}.of_bank(30).protocol().find("k = 30,") != std::string::npos);
  CHECK(LinearOptions{.batch = 256}.of_bank(30).protocol().find(" batch 30,") != std::string::npos);
}

}  // namespace gestalt::test
