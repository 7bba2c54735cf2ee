// Running the program's commands inside the tests.
#include "tests/tools/printed.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "engine/run/files.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {

void add_all_commands(const tools::CommandLine& program) {
#define GESTALT_ADD(name) tools::add_##name(program.root());
  GESTALT_COMMANDS(GESTALT_ADD)
#undef GESTALT_ADD
}

std::string gestalt_prints(const std::string& line) {
  tools::CommandLine program("gestalt", "");
  add_all_commands(program);
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

}  // namespace gestalt::test
