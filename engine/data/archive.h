// Files inside tar and zip archives, compressed or not, and compressed texts, read without unpacking them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gestalt {

// The entries of an archive, found once. What lies in a plain tar is read from where it lies; of others a copy of the
// wanted entries is decoded into a temporary file without a name, in $TMPDIR or /var/tmp. Any thread may read.
class Archive {
 public:
  struct Entry {
    std::string name;  // as the archive has it, without a leading "./"
    int64_t size = 0, offset = 0;
  };

  // Keeps regular files for which `wanted` holds. Throws Error where there is no archive. One that ends in the middle,
  // or is damaged there, has the whole entries before that place, and `problem` says so, as it does of encrypted ones.
  // Throws Error for what decodes to far more than it is, and for a file of more than 1 GiB in it.
  Archive(const std::string& path, const std::function<bool(const std::string& name)>& wanted);
  ~Archive();
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  const std::string& path() const { return path_; }
  const std::vector<Entry>& entries() const { return entries_; }  // in the archive's order
  const std::string& problem() const { return problem_; }         // "is damaged, and …", or nothing
  // The first `most` bytes of an entry, all of it if `most` is negative. Throws Error where they are not there.
  std::vector<uint8_t> read(const Entry& entry, int64_t most = -1) const;

 private:
  void find_entries(const std::function<bool(const std::string&)>& wanted);

  std::string path_, problem_;
  std::vector<Entry> entries_;
  int descriptor_ = -1;  // of what offsets count in
};

// Whether its name says that a text or an archive in it is compressed (.gz, .bz2, .xz, .zst).
bool is_compressed(const std::string& path);
// All that a compressed file decodes to. Throws Error for a damaged one, and for one that decodes to far more than it
// is.
std::string read_compressed(const std::string& path);
// The library that reads them, with its version.
std::string archive_library();

// The files that a pattern names, in order: "{000..009}" stands for each number, "{a,b}" for each word, * ? [] as a
// shell has them. Throws Error where there is none.
std::vector<std::string> files_of(const std::string& pattern);

}  // namespace gestalt
