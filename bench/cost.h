// What a launch has to do at least: its arithmetic and its memory traffic, read off its argument struct.
#pragma once

#include <string>

#include "kernels/memory.h"

namespace gestalt::bench {

struct Cost {
  double flops = 0;        // additions and multiplications of products; element by element work counts as traffic
  double bytes = 0;        // each operand once, twice where a reduction over all of it must end before it is used
  std::string shape = {};  // sizes in words, where launches of one kernel differ much
};

// The cost of launching the kernel named `kernel` with `args`; zeros for one that nobody has described here.
Cost cost_of(const char* kernel, const void* args, Stream stream);

}  // namespace gestalt::bench
