// Writing a file so that a reader sees the old contents or the new ones, never a mixture.
#include "engine/run/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr const char* unfinished = ".part-";

// Makes the rename itself survive a power cut. Some file systems refuse to sync a folder; that is no failure.
bool sync_folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const int folder = open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return false;
  const bool synced = fsync(folder) == 0 || errno == EINVAL;
  const int reason = errno;
  close(folder);
  errno = reason;
  return synced;
}

// The same for a file that was renamed from `from` to `path`. Throws where it cannot be made sure of; where `path` is a
// new name, the file has the old one again then, so that what failed can be tried again.
void sync_name(const std::string& from, const std::string& path, bool is_new) {
  if (sync_folder_of(path)) return;
  const int reason = errno;
  if (is_new) rename(path.c_str(), from.c_str());
  fail("[file] {}cannot sync the folder of '{}': {}", is_new ? "" : "replaced it, but ", path, std::strerror(reason));
}

bool stands(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

void rename_to(const std::string& from, const std::string& path) {
  const bool renamed = rename(from.c_str(), path.c_str()) == 0;
  check(renamed, "[file] cannot rename '{}' to '{}': {}", from, path, std::strerror(errno));
}

// What the file is called when it is done.
std::string finished_name(const std::string& path) { return path.substr(0, path.find(unfinished)); }

}  // namespace

std::string unfinished_name(const std::string& path) {
  static std::atomic<int> files{0};
  return fmt::format("{}{}{}-{}", path, unfinished, getpid(), files++);
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), temporary_(unfinished_name(path_)) {
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  check(descriptor_ >= 0, "[file] cannot create '{}': {}", finished_name(path_), std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::give_up(const char* what) {
  const int reason = errno;
  fail("[file] cannot {} '{}': {}; what stood there before is untouched", what, finished_name(path_),
       std::strerror(reason));
}

void AtomicFile::write(const void* bytes, size_t count) {
  if (!write_all(descriptor_, {static_cast<const char*>(bytes), count})) give_up("write");
}

void AtomicFile::seek(int64_t offset) {
  if (lseek(descriptor_, offset, SEEK_SET) < 0) give_up("seek in");
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) give_up("sync");
  const int closed = close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) give_up("close");
  const bool is_new = !stands(path_);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) give_up("rename a finished file to");
  sync_name(temporary_, path_, is_new);
  temporary_.clear();
}

void rename_durably(const std::string& from, const std::string& path) {
  const bool is_new = !stands(path);
  rename_to(from, path);
  sync_name(from, path, is_new);
}

void replace_keeping(const std::string& from, const std::string& path, const std::string& previous) {
  if (std::filesystem::exists(path)) {
    const std::string second_name = unfinished_name(previous);
    const bool linked = link(path.c_str(), second_name.c_str()) == 0;
    // Where `previous` is the same file already, as after a kill between these lines, rename() leaves both names.
    try {
      rename_to(linked ? second_name : path, previous);
    } catch (...) {
      if (linked) unlink(second_name.c_str());
      throw;
    }
    if (linked) unlink(second_name.c_str());
  }
  rename_durably(from, path);
}

std::string expand_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  const size_t colon = path.find(':'), slash = path.find('/');
  const size_t at = colon != std::string::npos && colon < slash ? colon + 1 : 0;
  const std::string_view rest = std::string_view(path).substr(at);
  std::error_code ignored;
  if (!home || !(rest == "~" || rest.starts_with("~/")) || std::filesystem::exists(rest, ignored)) return path;
  return path.substr(0, at) + home + path.substr(at + 1);
}

bool write_all(int descriptor, std::string_view bytes, std::optional<int64_t> offset) {
  for (size_t done = 0; done < bytes.size();) {
    const char* next = bytes.data() + done;
    const size_t left = bytes.size() - done;
    const ssize_t written =
        offset ? pwrite(descriptor, next, left, *offset + static_cast<int64_t>(done)) : write(descriptor, next, left);
    if (written == 0) errno = ENOSPC;
    if (written == 0 || (written < 0 && errno != EINTR)) return false;
    if (written > 0) done += static_cast<size_t>(written);
  }
  return true;
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void append_to_file(const std::string& path, std::string_view bytes) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  const bool written = file >= 0 && write_all(file, bytes);
  const int reason = errno;
  if (file >= 0) close(file);
  check(written, "[file] cannot add to '{}': {}", path, std::strerror(reason));
}

std::string read_text(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  const int reason = errno;
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(path, ignored);
  check(file.is_open() && !folder, "[file] cannot open '{}': {}", path,
        folder ? "it is a folder" : std::strerror(reason));
  std::ostringstream bytes;
  bytes << file.rdbuf();
  check(!file.bad(), "[file] cannot read '{}'", path);
  return std::move(bytes).str();
}

void remove_unfinished_files(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (entry.is_regular_file(ignored) && entry.path().filename().string().find(unfinished) != std::string::npos)
      std::filesystem::remove(entry.path(), ignored);
}

}  // namespace gestalt
