// The folders of the file system.
#include "engine/data/images/folder_view.h"

#include <algorithm>

#include "kernels/check.h"

namespace gestalt {

namespace fs = std::filesystem;

bool is_hidden(const std::string& name) { return name.starts_with('.') || name == "__MACOSX" || name == "@eaDir"; }

bool FoldersOnDisk::is_folder(const fs::path& path) const {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool FoldersOnDisk::any_of(const fs::path& folder, const std::function<bool(const fs::path&)>& wanted) const {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (!is_hidden(it->path().filename().string()) && wanted(it->path())) return true;
  return false;
}

std::vector<fs::path> FoldersOnDisk::entries(const fs::path& folder) const {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (!is_hidden(it->path().filename().string())) entries.push_back(it->path());
  check(!error, "[data] cannot list {}: {}", folder.string(), error.message());
  std::sort(entries.begin(), entries.end());
  return entries;
}

bool FoldersOnDisk::may_be_opened(const fs::path& path) const {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  return type == fs::file_type::regular || type == fs::file_type::not_found || type == fs::file_type::none ||
         type == fs::file_type::unknown;
}

fs::path FoldersOnDisk::identity(const fs::path& path) const {
  std::error_code error;
  return fs::canonical(path, error);
}

}  // namespace gestalt
