// Dropout from counter-based random numbers: the mask is a function of its counters and is never stored.
#pragma once

#include "kernels/philox.h"
#include "kernels/varying.h"

namespace gestalt::kernels {

// Words for elements 4·block … 4·block + 3 of the dropout site `slot`.
GESTALT_HOST_DEVICE Philox4 dropout_words(uint64_t seed, uint64_t step, uint32_t slot, int64_t block) {
  return draw(seed, Use::dropout, step, static_cast<uint32_t>(block), slot);
}

// y = x / (1 − p) where the element is kept, else 0; backward is the same kernel on dy. y may be x.
struct Dropout {
  In x;
  Out y;
  double p;  // in [0, 1)
  uint64_t seed;
  Varying<uint64_t> step;
  uint32_t slot;
  int64_t count;  // below 2³⁴
};
GESTALT_KERNEL(Dropout)
inline Cost cost(const Dropout& k) { return {.bytes = traffic(k.count, k.x, k.y)}; }

}  // namespace gestalt::kernels
