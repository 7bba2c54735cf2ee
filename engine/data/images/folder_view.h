// Folders and what lies in them, on disk or in archives, for those who tell splits from classes by their names.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace gestalt {

// What systems lay beside people's files: names that begin with a dot, __MACOSX, @eaDir.
bool is_hidden(const std::string& name);

class FolderView {
 public:
  virtual ~FolderView() = default;
  virtual bool is_folder(const std::filesystem::path&) const = 0;
  // What lies directly in a folder, hidden things left out: whether `wanted` holds for any, in no order. A folder that
  // cannot be listed has nothing.
  virtual bool any_of(const std::filesystem::path& folder,
                      const std::function<bool(const std::filesystem::path&)>& wanted) const = 0;
  // All of it, sorted. Throws Error where it cannot be listed.
  virtual std::vector<std::filesystem::path> entries(const std::filesystem::path& folder) const = 0;
  // A file, or what cannot be looked at, which is found damaged later; not a pipe, a device or a socket.
  virtual bool may_be_opened(const std::filesystem::path&) const = 0;
  // The same for two paths to one folder.
  virtual std::filesystem::path identity(const std::filesystem::path&) const = 0;
  // Classes that files beside the images name, if there are such files, and an image's place in them, or -1.
  virtual std::vector<std::string> classes_beside() const { return {}; }
  virtual int32_t class_beside(const std::filesystem::path&) const { return -1; }
};

class FoldersOnDisk : public FolderView {
 public:
  bool is_folder(const std::filesystem::path&) const override;
  bool any_of(const std::filesystem::path& folder,
              const std::function<bool(const std::filesystem::path&)>& wanted) const override;
  std::vector<std::filesystem::path> entries(const std::filesystem::path& folder) const override;
  bool may_be_opened(const std::filesystem::path&) const override;
  std::filesystem::path identity(const std::filesystem::path&) const override;
};

}  // namespace gestalt
