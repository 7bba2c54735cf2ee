// Guard pages, poison, fences, quarantine of freed ranges, and the signal handler.
#include "tests/cuda_emulator/memory.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>

#include "tests/cuda_emulator/execution.h"

namespace emulator {
namespace {

constexpr size_t alignment = 16;
constexpr unsigned char poison_byte = 0xFF;
constexpr size_t quarantined = 512;  // freed ranges kept inaccessible, so that a late use is caught

struct Entry {
  GuardedRegion region;
  std::string name;
  bool global, freed = false;
};

struct Memory {
  std::map<const char*, Entry> entries;  // by the start of their pages
  std::deque<const char*> freed;
  size_t in_use = 0, live = 0, limit = size_t{16} << 30;
  int access = 0;
  bool protect = true;
};

Memory& memory() {
  static Memory* m = new Memory;
  return *m;
}

size_t page() {
  static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

void protect(const Entry& e, bool accessible) {
  mprotect(e.region.map, e.region.map_bytes, accessible ? PROT_READ | PROT_WRITE : PROT_NONE);
}

// The entry whose pages, or the guard pages around them, hold the address; else null.
const Entry* entry_near(const char* address) {
  auto& entries = memory().entries;
  auto after = entries.upper_bound(address + page());
  for (int i = 0; i < 2 && after != entries.begin(); ++i) {
    --after;
    const GuardedRegion& r = after->second.region;
    if (address >= r.map - page() && address < r.map + r.map_bytes + page()) return &after->second;
  }
  return nullptr;
}

std::string relation(const Entry& e, const char* address) {
  const GuardedRegion& r = e.region;
  const std::string place = address < r.begin              ? fmt::format("{} bytes before", r.begin - address)
                            : address >= r.begin + r.bytes ? fmt::format("{} bytes after", address - r.begin - r.bytes)
                                                           : fmt::format("{} bytes into", address - r.begin);
  return fmt::format("{} {} of {} bytes{}", place, e.name, r.bytes, e.freed ? ", which was freed" : "");
}

void explain_fault(int signal, siginfo_t* info, void*) {
  const char* address = static_cast<const char*>(info->si_addr);
  const Entry* e = entry_near(address);
  if (e && !in_kernel() && !e->freed && memory().access == 0 && address >= e->region.map &&
      address < e->region.map + e->region.map_bytes)
    fault(fmt::format("host code touches device memory, {}", relation(*e, address)));
  if (e) fault(fmt::format("out-of-bounds access, {}", relation(*e, address)));
  if (in_kernel()) fault(fmt::format("access to {}, which is no device memory, or a stack overflow", info->si_addr));
  ::signal(signal, SIG_DFL);  // not ours: the access is repeated and ends the program
}

// Test frameworks put their own handlers back now and then, so this is asked for again and again.
void install_handler() {
  static char stack[64 << 10];
  stack_t alternative{};
  sigaltstack(nullptr, &alternative);
  if (alternative.ss_flags & SS_DISABLE) {
    alternative = {};
    alternative.ss_sp = stack;
    alternative.ss_size = sizeof(stack);
    sigaltstack(&alternative, nullptr);
  }
  struct sigaction action {};
  action.sa_sigaction = explain_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

void forget_oldest() {
  Memory& m = memory();
  const auto found = m.entries.find(m.freed.front());
  munmap(found->second.region.map - page(), found->second.region.map_bytes + 2 * page());
  m.entries.erase(found);
  m.freed.pop_front();
}

}  // namespace

GuardedRegion map_guarded(size_t bytes, const std::string& name, bool global) {
  install_handler();
  GuardedRegion r;
  r.bytes = bytes;
  const size_t rounded = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  r.map_bytes = (rounded + page() - 1) / page() * page();
  void* base = mmap(nullptr, r.map_bytes + 2 * page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return {};
  r.map = static_cast<char*>(base) + page();
  r.begin = r.map + r.map_bytes - rounded;
  if (mprotect(r.map, r.map_bytes, PROT_READ | PROT_WRITE) != 0) {
    munmap(base, r.map_bytes + 2 * page());
    return {};
  }
  std::memset(r.map, poison_byte, r.map_bytes);
  memory().entries[r.map] = Entry{r, name, global};
  return r;
}

void unmap_guarded(const GuardedRegion& r) {
  memory().entries.erase(r.map);
  munmap(r.map - page(), r.map_bytes + 2 * page());
}

void poison(const GuardedRegion& r) { std::memset(r.begin, poison_byte, r.bytes); }

void check_fences(const GuardedRegion& r, const std::string& name) {
  constexpr ptrdiff_t near = 256;  // looked at on the low side
  const char* low = std::max(r.map, r.begin - near);
  const char* end = r.map + r.map_bytes;
  for (const char* p = low; p < end; ++p) {
    if (p == r.begin) p += r.bytes;
    if (p >= end) break;
    if (static_cast<unsigned char>(*p) != poison_byte)
      fault(fmt::format("out-of-bounds write, {}", relation(Entry{r, name, false}, p)));
  }
}

void* allocate_global(size_t bytes) {
  Memory& m = memory();
  if (m.in_use + bytes > m.limit) return nullptr;
  const GuardedRegion r = map_guarded(bytes, "a device allocation", true);
  if (!r.begin) return nullptr;
  m.in_use += bytes;
  ++m.live;
  if (m.protect && m.access == 0) protect(m.entries[r.map], false);
  return r.begin;
}

bool release_global(void* address) {
  Memory& m = memory();
  const Entry* near = entry_near(static_cast<const char*>(address));
  if (!near || !near->global || near->freed || near->region.begin != address) return false;
  Entry& e = m.entries[near->region.map];
  protect(e, true);
  check_fences(e.region, e.name);
  madvise(e.region.map, e.region.map_bytes, MADV_DONTNEED);
  protect(e, false);
  e.freed = true;
  m.in_use -= e.region.bytes;
  --m.live;
  m.freed.push_back(e.region.map);
  if (m.freed.size() > quarantined) forget_oldest();
  return true;
}

Kind kind_of(const void* address) {
  const Entry* e = entry_near(static_cast<const char*>(address));
  if (!e || !e->global) return Kind::host;
  return e->freed ? Kind::freed : Kind::device;
}

void check_range(const void* address, size_t bytes, const char* what) {
  const char* p = static_cast<const char*>(address);
  const Entry* e = entry_near(p);
  if (!e || !e->global) return;
  if (e->freed || p < e->region.begin || p + bytes > e->region.begin + e->region.bytes)
    fault(fmt::format("{} of {} bytes out of bounds, {}", what, bytes, relation(*e, p)));
}

void check_all_fences() {
  for (const auto& [map, e] : memory().entries)
    if (e.global && !e.freed) check_fences(e.region, e.name);
}

void add_memory_counters(Counters& c) {
  c.bytes_in_use = memory().in_use;
  c.allocations_live = memory().live;
}

size_t memory_limit() { return memory().limit; }
void set_memory_limit(size_t bytes) { memory().limit = bytes; }

DeviceAccess::DeviceAccess() {
  Memory& m = memory();
  if (m.access++ > 0) return;
  install_handler();
  if (!m.protect) return;
  for (const auto& [map, e] : m.entries)
    if (e.global && !e.freed) protect(e, true);
}

DeviceAccess::~DeviceAccess() {
  Memory& m = memory();
  if (--m.access > 0 || !m.protect) return;
  for (const auto& [map, e] : m.entries)
    if (e.global && !e.freed) protect(e, false);
}

void set_host_protection(bool on) {
  const DeviceAccess access;
  memory().protect = on;
}

}  // namespace emulator
