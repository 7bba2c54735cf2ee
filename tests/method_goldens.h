// Inputs of the methods' golden values: numbers by a formula that tests/golden/views.py repeats.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/tensor/tensor.h"

namespace gestalt::test {

// Element i in row-major order is s · sin(k + 1.7 i + 0.31 i²), in f64.
inline Tensor S(const Shape& shape, double k, double s = 1) {
  std::vector<double> values(static_cast<size_t>(shape.count()));
  for (size_t n = 0; n < values.size(); ++n) {
    const auto i = static_cast<double>(n);
    values[n] = s * std::sin(k + 1.7 * i + 0.31 * i * i);
  }
  return Tensor::from(values, shape);
}

// The same as a leaf of a graph.
inline Tensor S_leaf(const Shape& shape, double k, double s = 1) { return S(shape, k, s).require_grad(); }

// `loss` and then, of each leaf's gradient, the first element and the sum of magnitudes against the record's numbers.
inline void check_golden(const Tensor& loss, const std::vector<Tensor>& leaves, const std::vector<double>& expected,
                         double tolerance = 1e-9) {
  REQUIRE(expected.size() == 1 + 2 * leaves.size());
  loss.backward();
  CHECK(loss.item() == doctest::Approx(expected[0]).epsilon(tolerance));
  for (size_t n = 0; n < leaves.size(); ++n) {
    REQUIRE(leaves[n].grad());
    double magnitudes = 0;
    const std::vector<double> gradient = leaves[n].grad().values64();
    for (double g : gradient) magnitudes += std::abs(g);
    CHECK(gradient[0] == doctest::Approx(expected[1 + 2 * n]).epsilon(tolerance));
    CHECK(magnitudes == doctest::Approx(expected[2 + 2 * n]).epsilon(tolerance));
  }
}

// Each element against the record's, relative to the largest.
inline void check_values(const Tensor& got, const std::vector<double>& expected, double tolerance = 1e-9) {
  const std::vector<double> values = got.values64();
  REQUIRE(values.size() == expected.size());
  double largest = 0, worst = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    worst = std::max(worst, std::isfinite(values[i]) ? std::abs(values[i] - expected[i]) : INFINITY);
  }
  CHECK(worst <= tolerance * largest);
}

}  // namespace gestalt::test
