// LeJEPA as a run: without SIGReg it collapses, which the run must say; its views, and what it refuses.
#include <doctest/doctest.h>

#include "tasks/training/image_method.h"
#include "tasks/training/run.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {

TEST_CASE("LeJEPA: without SIGReg it collapses, and the run says so; with it neither") {
  const TemporaryFolder folder;
  for (const bool regularised : {true, false}) {
    CAPTURE(regularised);
    const std::unique_ptr<Method> method = tiny_method("lejepa");
    set_fields(*method, "test", regularised ? "epochs = 12" : "epochs = 12\nlambda = 0");
    const PretrainResult result =
        pretrain(*method, {.out = folder / (regularised ? "with" : "without"), .quiet = true});
    CHECK(result.collapsed == !regularised);
    CHECK((result.collapse_cure.find("--lambda 0.05") != std::string::npos) == !regularised);
  }
}

TEST_CASE("LeJEPA: large and small views, and one view of an image is refused") {
  const std::unique_ptr<Method> method = make_method("lejepa");
  set_fields(*method, "test", "size = 16\nglobal-views = 3\nlocal-views = 5");
  const Wants wants = method->wants();
  REQUIRE(wants.groups.size() == 2);
  CHECK(wants.groups[0].views.size() == 3);
  CHECK(wants.groups[0].size == 16);
  CHECK(wants.groups[1].views.size() == 5);
  CHECK(wants.groups[1].size == 8);

  const std::unique_ptr<Method> lone = tiny_method("lejepa");
  set_fields(*lone, "test", "global-views = 1\nlocal-views = 0");
  Random random(1);
  CHECK_THROWS_WITH_AS(lone->build(random), doctest::Contains("expected two that can agree"), Error);
}

}  // namespace gestalt::test
