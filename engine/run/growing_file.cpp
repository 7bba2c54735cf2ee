// Appending, cutting and naming.
#include "engine/run/growing_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "engine/run/files.h"
#include "kernels/check.h"

namespace gestalt {

GrowingFile::GrowingFile(std::string path, int64_t bytes) : path_(std::move(path)), bytes_(bytes) {
  const std::string partial = partial_name(path_);
  check(bytes >= 0 && bytes <= partial_bytes(path_), "[file] got {} bytes to go on after in '{}', which has {}", bytes,
        partial, partial_bytes(path_));
  descriptor_ = open(partial.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  check(descriptor_ >= 0, "[file] cannot create '{}': {}", partial, std::strerror(errno));
  const bool cut = ftruncate(descriptor_, bytes) == 0 && lseek(descriptor_, bytes, SEEK_SET) == bytes;
  const int reason = errno;
  if (!cut) close(descriptor_);
  check(cut, "[file] cannot go on in '{}': {}", partial, std::strerror(reason));
}

GrowingFile::~GrowingFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

int64_t GrowingFile::partial_bytes(const std::string& path) {
  std::error_code missing;
  const auto bytes = std::filesystem::file_size(partial_name(path), missing);
  return missing ? 0 : static_cast<int64_t>(bytes);
}

void GrowingFile::write(const void* bytes, size_t count) {
  put({static_cast<const char*>(bytes), count}, {});
  bytes_ += static_cast<int64_t>(count);
}

void GrowingFile::overwrite(int64_t offset, std::string_view bytes) { put(bytes, offset); }

void GrowingFile::put(std::string_view bytes, std::optional<int64_t> offset) {
  const bool written = write_all(descriptor_, bytes, offset);
  check(written, "[file] cannot write '{}': {}", partial_name(path_), std::strerror(errno));
}

int64_t GrowingFile::bytes() const {
  const bool synced = fsync(descriptor_) == 0 || errno == EINVAL;
  check(synced, "[file] cannot sync '{}': {}", partial_name(path_), std::strerror(errno));
  return bytes_;
}

void GrowingFile::commit() {
  bytes();
  close(descriptor_);
  descriptor_ = -1;
  rename_durably(partial_name(path_), path_);
}

}  // namespace gestalt
