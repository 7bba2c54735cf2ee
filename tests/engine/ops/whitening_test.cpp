// Whitening against PyTorch, and what it promises of its results on every device.
#include "engine/ops/whitening.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/ops/pointwise.h"
#include "engine/tensor/random.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/method_goldens.h"

namespace gestalt::test {

TEST_CASE("whitening: values and gradients equal PyTorch's") {
  for (const char* shrink : {"0", "0.1"}) {
    CAPTURE(shrink);
    const Tensor z = S_leaf({12, 3}, 0.4), y = whiten(z, 6, std::stod(shrink));
    check_values(y, golden_values("whitening.json", std::string("values ") + shrink));
    check_golden(sum(multiply(y, S({12, 3}, 1.3))), {z},
                 golden_values("whitening.json", std::string("shrink ") + shrink));
  }
}

TEST_CASE("whitening: on every device a group's columns have mean 0, deviation 1 and no correlation") {
  constexpr int64_t rows = 256, dim = 128;
  for (Device device : devices()) {
    CAPTURE(name(device));
    const Tensor mixed = Random(3).normal({2 * rows, dim}, 5, 3).to(device);
    const std::vector<double> y = whiten(mixed, rows).values64();
    double worst = 0;
    for (int64_t group = 0; group < 2; ++group)
      for (int64_t a = 0; a < dim; a += 9)
        for (int64_t b = 0; b <= a; b += 7) {
          double mean = 0, product = 0;
          for (int64_t i = group * rows; i < (group + 1) * rows; ++i) {
            mean += y[i * dim + a] / rows;
            product += y[i * dim + a] * y[i * dim + b] / (rows - 1);
          }
          worst = std::max({worst, std::abs(mean), std::abs(product - (a == b ? 1 : 0))});
        }
    CHECK(worst < 1e-5);
    for (float v : whiten(Tensor::full({8, 4}, 2).to(device), 8).values()) CHECK(v == 0);
  }
}

}  // namespace gestalt::test
