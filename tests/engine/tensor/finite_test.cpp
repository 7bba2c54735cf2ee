// The finite check: the first op that gives a NaN or an infinity is named.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "engine/ops/pointwise.h"
#include "engine/tensor/autograd.h"

namespace gestalt::test {
namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "";
}

}  // namespace

TEST_CASE("finite check: the first op that gives a NaN is named") {
  set_finite_check(true);
  const Tensor x = Tensor::full({3}, 2).require_grad();
  const std::string forward = message_of([&] { sum(scale(scale(x, 3), INFINITY)); });
  CHECK(forward.find("[scale]") == 0);
  const std::string backward = message_of([&] { sum(scale(x, 1e30)).backward(Tensor::full({1}, 1e30)); });
  CHECK(backward.find("[scale backward]") == 0);
  CHECK(message_of([] { Tensor::full({4, 3}, NAN).slice(1, 3); }).empty());  // a place to write to
  set_finite_check(false);
}

}  // namespace gestalt::test
