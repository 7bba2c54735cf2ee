// Files that are either whole or not there: written beside their place, synced, then renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gestalt {

// A file that takes its name only when it is complete. A crash, a full disk or an exception before commit() leaves what
// stood at `path` untouched. Every member throws Error with the path and the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();  // without commit(), removes the temporary file

  void write(const void* bytes, size_t count);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  void seek(int64_t offset);  // where the next write goes; a gap reads as zeros
  void commit();              // syncs the file, renames it to `path`, syncs the folder

 private:
  [[noreturn]] void give_up(const char* what);

  std::string path_, temporary_;
  int descriptor_ = -1;
};

void write_file_atomically(const std::string& path, std::string_view bytes);

// The whole file; throws Error with the path.
std::string read_text(const std::string& path);

// Removes the temporary files that a killed process left in `folder`.
void remove_unfinished_files(const std::string& folder);

}  // namespace gestalt
