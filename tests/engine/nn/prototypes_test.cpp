// Prototypes: rows of unit length in place, in an arena and in its bf16 shadows, and a gradient that is not projected.
#include "engine/nn/prototypes.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/nn/arena.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "tests/devices.h"

namespace gestalt::test {
namespace {

std::vector<double> lengths(const Tensor& rows) {
  const std::vector<double> values = rows.values64();
  std::vector<double> result(static_cast<size_t>(rows.dim(0)), 0.0);
  for (size_t i = 0; i < values.size(); ++i) result[i / static_cast<size_t>(rows.dim(1))] += values[i] * values[i];
  for (double& length : result) length = std::sqrt(length);
  return result;
}

}  // namespace

TEST_CASE("prototypes on every device: unit length in place, in an arena and in its shadows") {
  for (Device device : devices())
    for (DType dtype : {DType::f32, DType::bf16}) {
      CAPTURE(name(device));
      CAPTURE(name(dtype));
      Random random(3);
      Prototypes prototypes(7, 12, random);
      ParameterArena arena(prototypes, device, dtype);
      arena.weights.copy_from(Tensor::full({arena.size()}, 0.5));
      arena.refresh_shadows();
      prototypes.bring_to_unit_length();
      const Tensor weight = parts(prototypes)[0].tensor;
      CHECK(weight.same_storage(arena.weights));
      for (double length : lengths(weight)) CHECK(length == doctest::Approx(1).epsilon(1e-6));
      if (weight.shadow())
        for (double length : lengths(weight.shadow())) CHECK(length == doctest::Approx(1).epsilon(4e-3));
      const Tensor scores = prototypes(Tensor::full({2, 12}, 1).to(dtype).to(device));
      for (double score : scores.values64()) CHECK(score == doctest::Approx(std::sqrt(12.0)).epsilon(8e-3));
      // d(sum of scores)/d(weight) is the sum of the embeddings, also along the rows themselves.
      sum(scores).backward();
      for (double g : arena.grads.slice(0, 7 * 12).values64()) CHECK(g == 2);
    }
}

TEST_CASE("prototypes: more than images can fill are refused, with the cure") {
  check_prototypes("swav", 12, 180);
  CHECK_THROWS_WITH_AS(check_prototypes("swav", 13, 194), doctest::Contains("use --prototypes 12"), Error);
  CHECK_THROWS_WITH_AS(check_prototypes("swav", 2, 20), doctest::Contains("use more images"), Error);
}

}  // namespace gestalt::test
