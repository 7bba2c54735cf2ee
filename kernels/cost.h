// What a launch has to do at least: its arithmetic and its memory traffic, read off its argument struct.
#pragma once

#include <string>

#include "kernels/memory.h"

namespace gestalt::kernels {

// Beside each argument struct stands `inline Cost cost(const Args&)`.
struct Cost {
  double flops = 0;        // additions and multiplications of products; element by element work counts as traffic
  double bytes = 0;        // each operand once, twice where a reduction over all of it must end before it is used
  bool loss = false;       // a training loss, which step timings show apart from the rest of the forward pass
  std::string shape = {};  // sizes in words, where launches of one kernel differ much
};

inline double real(int64_t n) { return static_cast<double>(n); }

// Bytes of all operands, each of `count` elements; none for one that is absent.
template <class... Operands>
double traffic(int64_t count, const Operands&... operands) {
  return ((operands ? real(count) * real(size_of(operands.dtype)) : 0.0) + ...);
}

}  // namespace gestalt::kernels
