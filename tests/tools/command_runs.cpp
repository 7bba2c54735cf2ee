// Running a command line with its output in a file.
#include "tests/tools/command_runs.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "engine/run/files.h"
#include "tasks/training/run.h"
#include "tests/tasks/training/tiny_method.h"
#include "tools/commands.h"

namespace gestalt::test {

std::string gestalt_prints(const std::string& line) {
  tools::CommandLine program("gestalt", "");
#define GESTALT_ADD(name) tools::add_##name(program.root());
  GESTALT_COMMANDS(GESTALT_ADD)
#undef GESTALT_ADD
  const TemporaryFolder folder;
  const std::string file = folder / "stdout";
  std::string error;
  std::fflush(stdout);
  const int kept = dup(STDOUT_FILENO), out = open(file.c_str(), O_WRONLY | O_CREAT, 0600);
  dup2(out, STDOUT_FILENO);
  try {
    program.run(line);
  } catch (const Error& e) { error = e.what(); }
  std::fflush(stdout);
  dup2(kept, STDOUT_FILENO);
  close(kept);
  close(out);
  return read_text(file) + error;
}

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
