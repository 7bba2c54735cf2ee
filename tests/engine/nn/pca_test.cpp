// Eigenvectors by what they are, and whitening against scikit-learn.
#include "engine/nn/pca.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/nn/eigen.h"
#include "kernels/check.h"
#include "tests/golden_step.h"

namespace gestalt::test {

TEST_CASE("eigen: vectors are orthonormal and give the matrix back, equal and zero values included") {
  for (const int64_t n : {1, 2, 3, 17, 64}) {
    CAPTURE(n);
    // Symmetric, of half the rank, with pairs of equal rows.
    const std::vector<double> half = hash_uniform("half " + std::to_string(n), n * ((n + 1) / 2));
    const int64_t rank = (n + 1) / 2;
    std::vector<double> a(n * n, 0.0);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j)
        for (int64_t k = 0; k < rank; ++k) a[i * n + j] += half[i / 2 * rank + k] * half[j / 2 * rank + k];
    const SymmetricEigen e = symmetric_eigen(a, n);
    double orthonormal = 0, same = 0;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double product = 0, element = 0;
        for (int64_t k = 0; k < n; ++k) {
          product += e.vectors[i * n + k] * e.vectors[j * n + k];
          element += e.values[k] * e.vectors[k * n + i] * e.vectors[k * n + j];
        }
        orthonormal = std::max(orthonormal, std::abs(product - (i == j)));
        same = std::max(same, std::abs(element - a[i * n + j]));
      }
    CHECK(orthonormal < 1e-12);
    CHECK(same < 1e-12);
  }
}

TEST_CASE("whitening: equals scikit-learn's; directions without variance give 0") {
  const std::vector<double> rows = golden_values("pca_whitening.json", "rows"),
                            expected = golden_values("pca_whitening.json", "white");
  const Tensor x = Tensor::from(rows, {90, 12}).to(DType::f32);
  const std::vector<double> white = pca_whiten(x, 5).values64();
  REQUIRE(white.size() == expected.size());
  for (size_t i = 0; i < white.size(); ++i) CHECK(white[i] == doctest::Approx(expected[i]).epsilon(1e-4));
  for (float zero : pca_whiten(Tensor::full({10, 3}, 2), 3).values()) CHECK(zero == 0);
  CHECK_THROWS_WITH_AS(pca_whiten(x, 13), doctest::Contains("[pca_whiten]"), Error);
  CHECK_THROWS_AS(pca_whiten(Tensor::full({10, 3}, NAN), 3), Error);
}

}  // namespace gestalt::test
