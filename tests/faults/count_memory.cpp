// A library to preload, which counts the bytes that a program has in use, blocks of its heap and what it maps, for
// tests/soak.py: an int64 in the file MEMORY_COUNT, there to be read at any time. Resident memory says less, since it
// holds what lies between blocks too.
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}

namespace {

std::atomic<int64_t> before_main{0};
std::atomic<int64_t>* in_use = &before_main;

__attribute__((constructor)) void open_count() {
  const char* path = std::getenv("MEMORY_COUNT");
  const int file = path ? open(path, O_RDWR) : -1;
  if (file < 0) return;
  const long shared = syscall(SYS_mmap, nullptr, sizeof(*in_use), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (shared == -1) return;
  in_use = reinterpret_cast<std::atomic<int64_t>*>(shared);
  *in_use += before_main;
}

int64_t size_of(void* block) { return static_cast<int64_t>(malloc_usable_size(block)); }

void* counted(void* block) {
  if (block) *in_use += size_of(block);
  return block;
}

}  // namespace

extern "C" {

void* malloc(size_t bytes) { return counted(__libc_malloc(bytes)); }
void* calloc(size_t count, size_t bytes) { return counted(__libc_calloc(count, bytes)); }
void* memalign(size_t alignment, size_t bytes) { return counted(__libc_memalign(alignment, bytes)); }
void* aligned_alloc(size_t alignment, size_t bytes) { return counted(__libc_memalign(alignment, bytes)); }

int posix_memalign(void** block, size_t alignment, size_t bytes) {
  *block = counted(__libc_memalign(alignment, bytes));
  return *block ? 0 : ENOMEM;
}

void* realloc(void* block, size_t bytes) {
  const int64_t old = block ? size_of(block) : 0;
  void* moved = __libc_realloc(block, bytes);
  if (moved || bytes == 0) *in_use -= old;
  return counted(moved);
}

void free(void* block) {
  if (block) *in_use -= size_of(block);
  __libc_free(block);
}

void* mmap(void* where, size_t bytes, int protection, int flags, int file, off_t offset) {
  const long mapped = syscall(SYS_mmap, where, bytes, protection, flags, file, offset);
  if (mapped != -1) *in_use += static_cast<int64_t>(bytes);
  return reinterpret_cast<void*>(mapped);
}
void* mmap64(void* where, size_t bytes, int protection, int flags, int file, off_t offset) {
  return mmap(where, bytes, protection, flags, file, offset);
}

int munmap(void* where, size_t bytes) {
  const long status = syscall(SYS_munmap, where, bytes);
  if (status == 0) *in_use -= static_cast<int64_t>(bytes);
  return static_cast<int>(status);
}

}  // extern "C"
