// Where the files lie that tests read: golden records, and for the structure test the tree itself.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace gestalt::test {

// The path of `below` in GESTALT_SOURCE (environment), else in the folder `source` beside the program, as a bundle has
// it, else where the program was built from.
inline std::string source_path(const std::string& below) {
  static const std::string root = [] {
    namespace fs = std::filesystem;
    if (const char* named = std::getenv("GESTALT_SOURCE")) return std::string(named);
    std::error_code unknown;
    for (fs::path folder = fs::read_symlink("/proc/self/exe", unknown).parent_path(); folder.has_relative_path();
         folder = folder.parent_path())
      if (fs::exists(folder / "source/tests/golden", unknown)) return (folder / "source").string();
    return std::string(GESTALT_SOURCE_DIR);
  }();
  return root + "/" + below;
}

}  // namespace gestalt::test
