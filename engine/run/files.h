// Files that are either whole or not there: written beside their place, synced, then renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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

// Writes all of it to an open file: here, or at `offset` without moving there. False, with errno, where the system
// refuses; it may then have taken a part.
bool write_all(int descriptor, std::string_view bytes, std::optional<int64_t> offset = {});

void write_file_atomically(const std::string& path, std::string_view bytes);
// At the end of a file, which is made where there is none, in one write.
void append_to_file(const std::string& path, std::string_view bytes);

// A name beside `path` for a file that is not finished; remove_unfinished_files() finds it.
std::string unfinished_name(const std::string& path);

// `from` takes the name `path` for good.
void rename_durably(const std::string& from, const std::string& path);

// `from` takes the name `path`, and what stood at `path` takes the name `previous`. At each moment `path` is there,
// where the file system has links.
void replace_keeping(const std::string& from, const std::string& path, const std::string& previous);

// "~" and "~/x" in the home folder of the user, also behind a scheme ("images:~/x"); all else as it is.
std::string expand_home(const std::string& path);

// The whole file; throws Error with the path.
std::string read_text(const std::string& path);

// Removes the temporary files that a killed process left in `folder`, not in those below it.
void remove_unfinished_files(const std::string& folder);

}  // namespace gestalt
