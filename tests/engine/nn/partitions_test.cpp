// Agreement of partitions against scikit-learn's and SciPy's numbers.
#include "engine/nn/partitions.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "kernels/check.h"
#include "tests/golden_step.h"

namespace gestalt::test {

TEST_CASE("partitions: mutual information, Rand index and matched accuracy equal scikit-learn's, either way round") {
  for (const auto& entry : golden_record("clusters.json").at("agreements")) {
    const auto a = entry.at("a").get<std::vector<int32_t>>(), b = entry.at("b").get<std::vector<int32_t>>();
    const auto nmi = entry.at("nmi").get<double>(), ari = entry.at("ari").get<double>(),
               accuracy = entry.at("accuracy").get<double>();
    CHECK(normalized_mutual_information(a, b) == doctest::Approx(nmi).epsilon(1e-9));
    CHECK(normalized_mutual_information(b, a) == doctest::Approx(nmi).epsilon(1e-9));
    CHECK(adjusted_rand_index(a, b) == doctest::Approx(ari).epsilon(1e-9));
    CHECK(adjusted_rand_index(b, a) == doctest::Approx(ari).epsilon(1e-9));
    CHECK(matched_accuracy(a, b) == doctest::Approx(accuracy).epsilon(1e-9));
    CHECK(matched_accuracy(b, a) == doctest::Approx(accuracy).epsilon(1e-9));
  }
}

TEST_CASE("partitions: the matching is the best of all, where all can be tried") {
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<int32_t> a, b;
    const std::vector<double> u = hash_uniform("matching " + std::to_string(trial), 60);
    for (int i = 0; i < 30; ++i) {
      a.push_back(static_cast<int32_t>((u[i] + 0.5) * 5));
      b.push_back(static_cast<int32_t>((u[i + 30] + 0.5) * 5));
    }
    std::vector<int32_t> order(5);
    std::iota(order.begin(), order.end(), 0);
    int best = 0;
    do {
      int right = 0;
      for (int i = 0; i < 30; ++i) right += order[a[i]] == b[i];
      best = std::max(best, right);
    } while (std::next_permutation(order.begin(), order.end()));
    CHECK(matched_accuracy(a, b) == doctest::Approx(100.0 * best / 30));
  }
}

TEST_CASE("partitions: labels that do not fit are refused") {
  const std::vector<int32_t> a{0, 1}, b{0}, none, negative{0, -1};
  CHECK_THROWS_AS(normalized_mutual_information(a, b), Error);
  CHECK_THROWS_AS(adjusted_rand_index(none, none), Error);
  CHECK_THROWS_WITH_AS(matched_accuracy(a, negative), doctest::Contains("label -1"), Error);
}

}  // namespace gestalt::test
