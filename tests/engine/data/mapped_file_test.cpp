// A mapped file that another program cuts short.
#include "engine/data/mapped_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "engine/run/files.h"
#include "kernels/check.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

// Ends as a child that looks at `offset` of a file of which only the first page is left; what it wrote to standard
// error.
int status_of_a_look(const std::string& file, size_t offset, const std::string& output) {
  const pid_t child = fork();
  if (child == 0) {
    dup2(open(output.c_str(), O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
    report_cut_files();
    const MappedFile other(output + ".other"), mapped(file);
    if (truncate(file.c_str(), 4096) != 0) _exit(2);
    const volatile uint8_t* bytes = mapped.bytes().data();
    _exit(bytes[offset] == 'x' ? 0 : 3);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

}  // namespace

TEST_SUITE("mapped file") {
  TEST_CASE("a file that is cut short while it is mapped ends the program with its name") {
    const TemporaryFolder folder;
    const std::string file = folder / "cut", output = folder / "stderr";
    write_file_atomically(output + ".other", "another file");
    write_file_atomically(file, std::string(20000, 'x'));
    CHECK(status_of_a_look(file, 100, output) == 0);
    CHECK(std::filesystem::file_size(output) == 0);
    write_file_atomically(file, std::string(20000, 'x'));
    CHECK(status_of_a_look(file, 15000, output) == 1);
    CHECK(read_text(output).find("[data] " + file + " was cut short") != std::string::npos);
  }

  TEST_CASE("what cannot be mapped is refused with its name") {
    const TemporaryFolder folder;
    write_file_atomically(folder / "empty", "");
    CHECK_THROWS_WITH_AS(MappedFile(folder / "empty"), doctest::Contains("empty is empty"), Error);
    CHECK_THROWS_WITH_AS(MappedFile(folder / "none"), doctest::Contains("none: No such file"), Error);
    CHECK_THROWS_WITH_AS(MappedFile(folder.path()), doctest::Contains("is not a file"), Error);
  }
}

}  // namespace gestalt::test
