// Device memory between inaccessible pages, and the handler that explains a fault in it.
#pragma once

#include <cstddef>
#include <string>

#include "tests/cuda_emulator/emulator.h"

namespace emulator {

// `bytes` of memory that end (up to alignment of 16) at an inaccessible page, filled with 0xFF.
struct GuardedRegion {
  char* begin = nullptr;  // what the user sees
  size_t bytes = 0;
  char* map = nullptr;  // the accessible pages
  size_t map_bytes = 0;
};
GuardedRegion map_guarded(size_t bytes, const std::string& name, bool global);
void unmap_guarded(const GuardedRegion&);
void poison(const GuardedRegion&);
// Faults if a byte between the region and the borders of its pages has changed.
void check_fences(const GuardedRegion&, const std::string& name);

void* allocate_global(size_t bytes);  // null when the limit is reached
bool release_global(void*);           // false if it is no allocation
// The allocation that holds [address, address + bytes), as far as it is one of the device's.
enum class Kind { host, device, freed };
Kind kind_of(const void* address);
// Faults unless [address, address + bytes) lies in one live allocation.
void check_range(const void* address, size_t bytes, const char* what);
void check_all_fences();
void add_memory_counters(Counters&);
size_t memory_limit();

// While one of these lives, device memory is accessible.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
};

}  // namespace emulator
