// A file seen as memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace gestalt {

// Read-only. Where another program cuts the file short meanwhile, looking past its new end is a SIGBUS; see below.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);  // throws Error if it cannot be opened
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const uint8_t> bytes() const { return {static_cast<const uint8_t*>(memory_), size_}; }

 private:
  void* memory_ = nullptr;
  size_t size_ = 0;
  int known_ = -1;  // its place among those that report_cut_files() knows
};

// For a program: from here on, looking at what a mapped file has lost ends it with status 1 and the file's name on
// standard error. Other causes of SIGBUS stay what they are.
void report_cut_files();

}  // namespace gestalt
