// Memory for tensors: a caching best-fit allocator, so that a training step asks the system for nothing once warm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/memory.h"

namespace gestalt {

struct AllocatorStats {
  size_t in_use = 0;          // bytes handed out now
  size_t peak = 0;            // highest in_use since reset_peak()
  size_t reserved = 0;        // bytes held from the system
  uint64_t system_calls = 0;  // how often the system was asked for memory, since the start
};

// Returns `bytes` of memory on `device`, 256-byte-aligned unless debugging; null when there is no more, which `fail_…`
// reports: what asked for how much, what is in use and what to change.
void* try_allocate(size_t bytes, Device device);
[[noreturn]] void fail_out_of_memory(const std::string& what, size_t bytes, Device device);
void release(void* memory, Device device) noexcept;

AllocatorStats allocator_stats(Device device);
void reset_peak(Device device);
void release_cached(Device device);  // gives segments that hold no live block back to the system

// Memory for a captured graph alone, which goes on writing to what was given back while it was captured. Segments come
// from the system; when the pool goes, the common one takes them over with what still lives in them.
class OwnPool {
 public:
  explicit OwnPool(Device);
  ~OwnPool();
  OwnPool(const OwnPool&) = delete;

  // While one lives, allocations on the device come from the pool.
  class Use {
   public:
    explicit Use(OwnPool&);
    ~Use();
    Use(const Use&) = delete;

   private:
    OwnPool& own_;
  };

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Debugging. On the CPU each fresh block is filled with NaN bit patterns and fenced by sentinels that release() checks;
// a damaged one ends the program with a message. Set it before the first allocation it should watch.
// On CUDA each block is then an allocation of its own, so that the emulated device or compute-sanitizer sees its
// bounds.
void set_allocator_debug(bool on);
// Throws Error if any live debug block's sentinels are damaged.
void check_sentinels();

}  // namespace gestalt
