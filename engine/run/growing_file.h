// A file that grows over several sittings of a program, and takes its name when it is complete.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gestalt {

// Stands at partial_name(path) until commit(). Every member throws Error with the path and the system's reason.
class GrowingFile {
 public:
  // Goes on after the first `bytes` of what an earlier sitting left there, and cuts off the rest; 0 begins anew.
  GrowingFile(std::string path, int64_t bytes);
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;
  ~GrowingFile();  // leaves what is written for the next sitting

  void write(const void* bytes, size_t count);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  void overwrite(int64_t offset, std::string_view bytes);  // what was written before
  int64_t bytes() const;                                   // the length so far, on the disk for good
  void commit();                                           // the file takes its name

  static std::string partial_name(const std::string& path) { return path + ".partial"; }
  static int64_t partial_bytes(const std::string& path);  // of what an earlier sitting left, 0 for none

 private:
  void put(std::string_view bytes, std::optional<int64_t> offset);

  std::string path_;
  int descriptor_ = -1;
  int64_t bytes_ = 0;
};

}  // namespace gestalt
