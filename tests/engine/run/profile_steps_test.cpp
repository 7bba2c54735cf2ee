// Which ranges of steps are taken, and which are refused.
#include "engine/run/profile_steps.h"

#include <doctest/doctest.h>

#include "kernels/check.h"

namespace gestalt::test {

TEST_CASE("profile steps: two numbers from 1 on, the second no smaller; all else is refused by what it says") {
  const ProfileSteps steps = profile_steps("20:24");
  CHECK(steps.first == 20);
  CHECK(steps.last == 24);
  CHECK(steps);
  CHECK(profile_steps("1:1").last == 1);
  CHECK_FALSE(ProfileSteps{});
  for (const char* text : {"", "20", ":", "20:", ":24", "0:3", "-1:3", "5:4", "20:24:30", "20:24 ", " 1:2", "1.5:2",
                           "a:b", "1:99999999999999999999"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(profile_steps(text), doctest::Contains("[profile-steps] got '"), Error);
  }
}

TEST_CASE("profile steps: those that the run does not make, and the CPU, are refused") {
  ProfileSteps{}.check_within(0, 10, Device::cpu);
  const ProfileSteps steps{3, 10};
  steps.check_within(2, 10, Device::cuda);
  CHECK_THROWS_WITH_AS(steps.check_within(3, 10, Device::cuda), doctest::Contains("expected steps from 4 to 10"),
                       Error);
  CHECK_THROWS_WITH_AS(steps.check_within(0, 9, Device::cuda), doctest::Contains("expected steps from 1 to 9"), Error);
  CHECK_THROWS_WITH_AS(steps.check_within(0, 10, Device::cpu), doctest::Contains("expected --device cuda"), Error);
}

}  // namespace gestalt::test
