// Running a kernel's blocks, and the meeting points of their threads.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/cuda_emulator/emulator.h"
#include "tests/cuda_emulator/types.h"

namespace emulator {

struct Launch {
  std::string name;
  dim3 grid, block;
  size_t dynamic_shared = 0;
  size_t most_shared = 0;      // that a block may have, static and dynamic together
  std::function<void()> body;  // one thread
};

// Runs every block of the grid to its end.
void execute(const Launch&);
bool in_kernel();
// "kernel NAME, block (…), thread (…)", or "host" outside kernels.
std::string whereabouts();

// Waits for all threads of the block; returns how many came with a nonzero predicate.
int block_barrier(const char* what, Site, int predicate);

// Waits for the lanes in `mask`. The last to come calls complete(payloads, mask), which sees all payloads by lane.
using Complete = void (*)(void* const* payloads, uint32_t mask);
void warp_meeting(const char* what, Site, uint32_t mask, void* payload, Complete complete);
int lane();

// A fair coin of the random order's.
bool coin();

// The copies to shared memory that the calling thread has begun and not waited for.
struct PendingCopy {
  void* to;
  const void* from;
  int bytes, valid_bytes;  // the rest is filled with zeros
  bool landed;             // as a copy may before it is waited for
};
struct PendingCopies {
  std::vector<std::vector<PendingCopy>> groups;
  std::vector<PendingCopy> open;

  bool unfinished() const {
    bool any = !open.empty();
    for (const auto& group : groups) any = any || !group.empty();
    return any;
  }
};
PendingCopies& pending_copies();

}  // namespace emulator
