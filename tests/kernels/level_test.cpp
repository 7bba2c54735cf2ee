// Levels of instruction sets: what names them, and what asking for one that is not there says.
#include <doctest/doctest.h>

#include <string>

#include "kernels/check.h"
#include "kernels/cpu/level.h"

namespace gestalt::test {

using namespace kernels::cpu;

TEST_CASE("a level is found by its name, and one that is not there is an error with the cure") {
  CHECK(level() <= highest_level());
  if (!built_with_levels) {
    CHECK_THROWS_WITH(find_level("v2"), doctest::Contains("-DGESTALT_NATIVE=OFF"));
    return;
  }
  for (const Level level : levels) {
    const std::string asked = name(level);
    CAPTURE(asked);
    if (level <= highest_level())
      CHECK(find_level(asked) == level);
    else
      CHECK_THROWS_WITH(find_level(asked),
                        doctest::Contains(("got GESTALT_ISA=" + asked + ", expected up to").c_str()));
  }
  for (const char* asked : {"v1", "V3", "avx2", "v4 "})
    CHECK_THROWS_WITH(find_level(asked), doctest::Contains("expected v2, v3, v4 or v4_bf16; unset it"));
}

}  // namespace gestalt::test
