// Pseudo-labels: what is read of them on each device, their figures, and how many clusters are too many.
#include "engine/nn/pseudo_labels.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/devices.h"

namespace gestalt::test {
namespace {

Clusters clusters_of(const std::vector<int32_t>& labels, int64_t count, int64_t empty) {
  return {.centres = Tensor::zeros({count, 1}),
          .assignments = Tensor::from(labels, {static_cast<int64_t>(labels.size())}),
          .distances = {},
          .empty = empty};
}

std::vector<double> values_of(const PseudoLabels& labels, bool classes) {
  std::vector<double> values;
  for (const auto& figure : labels.figures(classes)) values.push_back(figure.second.item());
  return values;
}

}  // namespace

TEST_CASE("pseudo-labels on every device: read by sample, compared with those before and with classes") {
  for (Device device : devices()) {
    CAPTURE(name(device));
    PseudoLabels labels(2, 4);
    move_to(labels, device);
    const Tensor samples = Tensor::from(std::vector<int32_t>{3, 0}, {2}).to(device);
    const auto read = [&](int64_t clustering) {
      const Tensor host = labels.of(clustering, samples, 2).to(Device::cpu);
      return std::vector<int32_t>(host.data<int32_t>(), host.data<int32_t>() + host.count());
    };
    labels.renew({clusters_of({0, 0, 1, 1}, 2, 0), clusters_of({0, 1, 0, 3}, 4, 1)}, {});
    CHECK(read(0) == std::vector<int32_t>{1, 0, 1, 0});
    CHECK(read(1) == std::vector<int32_t>{3, 0, 3, 0});
    CHECK(values_of(labels, false) == std::vector<double>{0, 0.125});
    // The same groups by other numbers; then other groups, of which classes know nothing.
    const std::vector<int32_t> classes{0, 1, 0, 1};
    const auto before = labels.figures(true);
    labels.renew({clusters_of({1, 1, 0, 0}, 2, 0), clusters_of({2, 0, 2, 1}, 4, 1)}, classes);
    CHECK(values_of(labels, true)[0] == doctest::Approx(1));
    CHECK(values_of(labels, true)[1] == doctest::Approx(0.4));  // 0 of one, 0.8 of the other
    CHECK(before[0].second.item() == 0);                        // what was read stays
    CHECK_THROWS_AS(labels.renew({}, {}), Error);
  }
}

TEST_CASE("pseudo-labels: weights that make up for the sizes of clusters") {
  PseudoLabels labels(1, 6);
  labels.renew({clusters_of({0, 2, 2, 2, 2, 0}, 3, 1)}, {});
  const std::vector<float> even = labels.balance(0, 0).values(), whole = labels.balance(0, 1).values(),
                           half = labels.balance(0, 0.5).values();
  for (float w : even) CHECK(w == 1);
  CHECK(whole[0] == doctest::Approx(1.5));  // both clusters weigh 3
  CHECK(whole[1] == doctest::Approx(0.75));
  CHECK(half[0] / half[1] == doctest::Approx(std::sqrt(2)));
  CHECK(2 * half[0] + 4 * half[1] == doctest::Approx(6));
}

TEST_CASE("pseudo-labels: too many clusters are refused, with the cure") {
  check_clusters("method", 10, 150);
  check_clusters("method", 10, 0);
  CHECK_THROWS_WITH_AS(check_clusters("method", 11, 150), doctest::Contains("use --clusters 10"), Error);
  CHECK_THROWS_WITH_AS(check_clusters("method", 2, 20), doctest::Contains("use more images"), Error);
}

}  // namespace gestalt::test
