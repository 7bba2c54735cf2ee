// W-MSE's settings: what cannot be white, or does not divide the batch, is refused with the cure.
#include <doctest/doctest.h>

#include "tests/tasks/training/tiny_method.h"

namespace gestalt::test {

TEST_CASE("W-MSE: too few rows to be whitened, and groups that do not divide the batch, are refused") {
  const auto refused = [](const std::string& fields, const char* why) {
    const std::unique_ptr<Method> method = tiny_method("wmse");
    set_fields(*method, "test", fields);
    Random random(1);
    CHECK_THROWS_WITH_AS(method->build(random), doctest::Contains(why), Error);
  };
  refused("whiten-rows = 6", "run with --whiten-rows 8 or --head-out 3");
  refused("batch = 36", "a multiple of --whiten-rows 8");
}

}  // namespace gestalt::test
