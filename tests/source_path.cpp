// The one source that knows where the program was built from: what else is compiled is the same in any folder, which
// lets a compiler's cache serve several.
#include "tests/source_path.h"

#include <cstdlib>
#include <filesystem>

namespace gestalt::test {

std::string source_path(const std::string& below) {
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
