// Which methods cannot be won by features that are alike, whatever is taken from them.
#include <doctest/doctest.h>

#include "tasks/training/run.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {

// Their losses tell an image from the batch's others. What other methods collapse without, a key encoder that moves
// slowly, is missed in accuracy alone.
TEST_CASE("MoCo v3 and NNCLR do not collapse, without what others need") {
  const TemporaryFolder folder;
  const auto collapsed = [&](const std::string& name, const std::string& fields) {
    const std::unique_ptr<Method> method = tiny_method(name);
    set_fields(*method, "test", "epochs = 6\n" + fields);
    const PretrainResult result = pretrain(*method, {.out = folder / (name + fields.substr(0, 4)), .quiet = true});
    CHECK(result.collapse_cure.empty() != result.collapsed);
    return result.collapsed;
  };
  CHECK_FALSE(collapsed("mocov3", "key-momentum = 0\nkey-momentum-end = 0"));
  CHECK_FALSE(collapsed("nnclr", "temperature = 10"));
}

}  // namespace gestalt::test
