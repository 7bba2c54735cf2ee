// Runs and pictures for the tests of commands.
#include "tests/tools/command_runs.h"

#include <memory>

#include "engine/run/files.h"
#include "tasks/training/run.h"
#include "tests/tasks/training/tiny_method.h"

namespace gestalt::test {

Image image_in(const std::string& file) {
  const std::string bytes = read_text(file);
  return decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

std::string Runs::make(const std::string& method) {
  const std::unique_ptr<Method> made = tiny_method(method);
  made->run.steps = 2;
  pretrain(*made, {.out = folder / method, .quiet = true});
  return folder / method;
}

const Runs& runs() {
  static const Runs all;
  return all;
}

}  // namespace gestalt::test
