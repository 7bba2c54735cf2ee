// What a launch has to do at least: its arithmetic and its memory traffic, read off its argument struct.
#pragma once

#include "kernels/cost.h"

namespace gestalt::bench {

using kernels::Cost;

// The cost of launching the kernel named `kernel` with `args`; zeros for one that nobody has described here.
Cost cost_of(const char* kernel, const void* args, Stream stream);

}  // namespace gestalt::bench
