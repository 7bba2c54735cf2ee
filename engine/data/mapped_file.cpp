// A file seen as memory, through mmap.
#include "engine/data/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "kernels/check.h"

namespace gestalt {
namespace {

// What a signal handler may look at: the files that are mapped, up to as many as fit.
struct Known {
  std::atomic<bool> taken{false};
  std::atomic<const char*> memory{nullptr};  // set last, and cleared first
  size_t size = 0;
  std::array<char, 512> path{};  // its end where it is longer
};
std::array<Known, 64> known;

int remember(const std::string& path, const void* memory, size_t size) {
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i].taken.exchange(true)) continue;
    const size_t length = std::min(path.size(), known[i].path.size() - 1);
    std::fill(std::copy_n(path.end() - static_cast<ptrdiff_t>(length), length, known[i].path.begin()),
              known[i].path.end(), '\0');
    known[i].size = size;
    known[i].memory = static_cast<const char*>(memory);
    return static_cast<int>(i);
  }
  return -1;
}

void forget(int place) {
  if (place < 0) return;
  known[static_cast<size_t>(place)].memory = nullptr;
  known[static_cast<size_t>(place)].taken = false;
}

void write_text(const char* text) {
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text, std::strlen(text));
}

void say_which(int, siginfo_t* info, void*) {
  const char* address = static_cast<const char*>(info->si_addr);
  for (const Known& file : known) {
    const char* memory = file.memory;
    if (!memory || address < memory || address >= memory + file.size) continue;
    write_text("\ngestalt: [data] ");
    write_text(file.path.data());
    write_text(" was cut short by another program while it was read; put it back as it was, then go on\n");
    _exit(1);
  }
  signal(SIGBUS, SIG_DFL);  // the same access comes again, and ends the program as ever
}

}  // namespace

void report_cut_files() {
  struct sigaction action = {};
  action.sa_sigaction = say_which;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

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
  known_ = remember(path, memory_, size_);
}

MappedFile::~MappedFile() {
  forget(known_);
  if (memory_) munmap(memory_, size_);
}

}  // namespace gestalt
