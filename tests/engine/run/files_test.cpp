// Files that take each other's place.
#include "engine/run/files.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_SUITE("files") {
  TEST_CASE("a file replaces one that is kept as the previous, and nothing else is left") {
    const TemporaryFolder folder;
    const std::string path = folder / "last", previous = folder / "previous", fresh = folder / "fresh";
    const auto replace = [&](const std::string& text) {
      write_file_atomically(fresh, text);
      replace_keeping(fresh, path, previous);
      return read_text(path);
    };
    CHECK(replace("first") == "first");
    CHECK(names_in(folder.path()) == std::vector<std::string>{"last"});
    CHECK(replace("second") == "second");
    CHECK(read_text(previous) == "first");
    // As a process leaves it that is killed when `previous` has been made and `path` not yet.
    fs::remove(previous);
    fs::create_hard_link(path, previous);
    CHECK(replace("third") == "third");
    CHECK(read_text(previous) == "second");
    CHECK(names_in(folder.path()) == std::vector<std::string>{"last", "previous"});
  }
}

}  // namespace gestalt::test
