// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
//
// A number is a pure function of what it is for, so it does not depend on threads, order or restarts.
#pragma once

#include <Random123/philox.h>

#include <cstdint>

#include "kernels/host_device.h"

namespace gestalt {

struct Philox4 {
  uint32_t word[4];
};

// One block of four words for a 64-bit key and a 128-bit counter.
GESTALT_HOST_DEVICE Philox4 philox(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  const philox4x32_ctr_t counter = {{c0, c1, c2, c3}};
  const philox4x32_key_t words = {{static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)}};
  const philox4x32_ctr_t r = philox4x32_R(10, counter, words);
  return {{r.v[0], r.v[1], r.v[2], r.v[3]}};
}

// Uniform in [0, 1), 24 bits.
GESTALT_HOST_DEVICE float uniform(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// The four words of slot `slot` of what `view` of `sample` needs at `step`. `step` is an optimizer step or an epoch.
GESTALT_HOST_DEVICE Philox4 draw(uint64_t seed, uint64_t step, uint32_t sample, uint32_t view, uint32_t slot) {
  return philox(seed, static_cast<uint32_t>(step), sample, (view << 16) | (slot & 0xffffu),
                static_cast<uint32_t>(step >> 32));
}

}  // namespace gestalt
