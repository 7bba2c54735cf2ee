// A file seen as memory, through mmap.
#include "engine/data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/check.h"

namespace gestalt {

MappedFile::MappedFile(const std::string& path) {
  // Does not wait for the other end of a pipe.
  const int file = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  check(file >= 0, "[data] cannot open {}: {}", path, std::strerror(errno));
  struct stat status;
  const bool regular = fstat(file, &status) == 0 && S_ISREG(status.st_mode);
  size_ = regular ? static_cast<size_t>(status.st_size) : 0;
  void* memory = size_ ? mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
  const int error = errno;
  close(file);
  check(regular, "[data] {} is not a file", path);
  check(size_ > 0, "[data] {} is empty", path);
  check(memory != MAP_FAILED, "[data] cannot map {}: {}", path, std::strerror(error));
  memory_ = memory;
}

MappedFile::~MappedFile() {
  if (memory_) munmap(memory_, size_);
}

}  // namespace gestalt
