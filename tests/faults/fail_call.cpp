// A library to preload, which lets one call of a program to the file system fail, for tests/faults/run.py.
//
// Counted are open (for writing), write, fsync, rename, link, unlink, mkdir, ftruncate and mmap of files, whose path or
// descriptor lies below FAIL_BELOW. Call number FAIL_CALL fails with the error FAIL_ERRNO (a write first writes half of
// what it is given, and the next one fails); 0 lets all succeed. At the end their number is written to FAIL_COUNT.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

template <class F>
F* next(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

long number_of(const char* name) {
  const char* text = std::getenv(name);
  return text ? std::atol(text) : 0;
}

std::atomic<long> calls{0};
std::atomic<bool> short_write{false};

struct Report {
  ~Report() {
    const char* path = std::getenv("FAIL_COUNT");
    if (!path) return;
    if (FILE* file = std::fopen(path, "w")) {
      std::fprintf(file, "%ld\n", calls.load());
      std::fclose(file);
    }
  }
} report;

bool below(const char* path) {
  const char* folder = std::getenv("FAIL_BELOW");
  return folder && path && std::strncmp(path, folder, std::strlen(folder)) == 0;
}

bool below(int descriptor) {
  char link[64], path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = '\0';
  return below(path);
}

// Counts a call; whether it is the one that fails.
bool fails() {
  if (++calls != number_of("FAIL_CALL")) return false;
  errno = static_cast<int>(number_of("FAIL_ERRNO"));
  return true;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if ((flags & (O_WRONLY | O_RDWR)) && below(path) && fails()) return -1;
  return next<int(const char*, int, ...)>("open")(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if ((flags & (O_WRONLY | O_RDWR)) && below(path) && fails()) return -1;
  return next<int(const char*, int, ...)>("open64")(path, flags, mode);
}

ssize_t write(int descriptor, const void* bytes, size_t count) {
  const auto really = next<ssize_t(int, const void*, size_t)>("write");
  if (!below(descriptor)) return really(descriptor, bytes, count);
  if (short_write.exchange(false)) {
    errno = static_cast<int>(number_of("FAIL_ERRNO"));
    return -1;
  }
  if (!fails()) return really(descriptor, bytes, count);
  if (count < 2) return -1;
  short_write = true;
  return really(descriptor, bytes, count / 2);
}

int fsync(int descriptor) { return below(descriptor) && fails() ? -1 : next<int(int)>("fsync")(descriptor); }

int ftruncate(int descriptor, off_t length) noexcept {
  return below(descriptor) && fails() ? -1 : next<int(int, off_t)>("ftruncate")(descriptor, length);
}

int rename(const char* from, const char* to) noexcept {
  return below(to) && fails() ? -1 : next<int(const char*, const char*)>("rename")(from, to);
}

int link(const char* from, const char* to) noexcept {
  return below(to) && fails() ? -1 : next<int(const char*, const char*)>("link")(from, to);
}

int unlink(const char* path) noexcept { return below(path) && fails() ? -1 : next<int(const char*)>("unlink")(path); }

int mkdir(const char* path, mode_t mode) noexcept {
  return below(path) && fails() ? -1 : next<int(const char*, mode_t)>("mkdir")(path, mode);
}

void* mmap(void* at, size_t length, int protection, int flags, int descriptor, off_t offset) noexcept {
  if (descriptor >= 0 && below(descriptor) && fails()) return MAP_FAILED;
  return next<void*(void*, size_t, int, int, int, off_t)>("mmap")(at, length, protection, flags, descriptor, offset);
}

}  // extern "C"
