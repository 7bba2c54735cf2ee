// Memory for tensors: a caching best-fit allocator, so that a training step asks the system for nothing once warm.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/memory.h"

namespace gestalt {

struct AllocatorStats {
  size_t in_use = 0;           // bytes handed out now
  size_t peak = 0;             // highest in_use since reset_peak()
  size_t reserved = 0;         // bytes held from the system
  uint64_t system_calls = 0;   // how often the system was asked for memory, since the start
};

// Returns `bytes` of 64-byte-aligned memory on `device`. Throws Error, saying how much was asked for and what is in use.
void* allocate(size_t bytes, Device device);
void release(void* memory, Device device) noexcept;

AllocatorStats allocator_stats(Device device);
void reset_peak(Device device);
void release_cached(Device device);  // gives segments that hold no live block back to the system

// Debugging. On the CPU each fresh block is filled with NaN bit patterns and fenced by sentinels that release() checks;
// a damaged one ends the program with a message. Set it before the first allocation it should watch.
// On CUDA each block is then an allocation of its own, so that the emulated device or compute-sanitizer sees its bounds.
void set_allocator_debug(bool on);
// Throws Error if any live debug block's sentinels are damaged.
void check_sentinels();

}  // namespace gestalt
