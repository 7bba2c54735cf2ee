// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
//
// A number is a pure function of a seed and of what it is for. Nothing keeps a generator's state, so that a number does
// not depend on the device, on threads, on the order in which numbers are asked for, on ranks or on restarts.
//
// The key is the seed. The counter's 128 bits say what the number is for, and each field has bits of its own:
//
//   word 3, bits 31…24   use: the enum below; two uses never meet, whatever the other fields are
//   word 3, bits 23…0    step, bits 55…32
//   word 0               step, bits 31…0
//   word 1               sample
//   word 2               slot
//
// What step, sample and slot are is each use's own affair; random.md has the table. A block of four words comes back.
#pragma once

#include <Random123/philox.h>

#include <cstdint>

#include "kernels/host_device.h"

namespace gestalt {

// What random numbers are for. A value is part of what a seed means: it is never changed and never given out again.
enum class Use : uint32_t {
  weights = 1,     // a model's initial parameters
  order = 2,       // the order of a data set's samples in an epoch
  view = 3,        // what augmentation does to a view of an image
  mask = 4,        // which patches of an image are hidden
  dropout = 5,     // which elements of an activation are zeroed
  window = 6,      // where a window of text begins
  few_labels = 7,  // which images keep their labels
  token = 8,       // the next token of a generated text
  noise = 9,       // what is added to, or given to a model as, an input: latent variables, noisy images
  made_up = 10,    // built-in data: shapes, sums, random text
  slice = 11,      // directions that a batch of embeddings is looked at from
  clusters = 12,   // where k-means begins
  test = 255,      // what tests and benchmarks draw for themselves
};

constexpr uint64_t last_step = (uint64_t{1} << 56) - 1;  // a step has 56 bits

struct Philox4 {
  uint32_t word[4];
};

// The counter of a draw. Of `step` the lower 56 bits count.
GESTALT_HOST_DEVICE Philox4 counter_of(Use use, uint64_t step, uint32_t sample, uint32_t slot) {
  const uint32_t high = static_cast<uint32_t>(step >> 32) & 0xffffffu;
  return {{static_cast<uint32_t>(step), sample, slot, static_cast<uint32_t>(use) << 24 | high}};
}

// One block of four words for a 64-bit key and a 128-bit counter.
GESTALT_HOST_DEVICE Philox4 philox(uint64_t key, const Philox4& counter) {
  const uint32_t* c = counter.word;
  const philox4x32_ctr_t words = {{c[0], c[1], c[2], c[3]}};
  const philox4x32_key_t halves = {{static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)}};
  const philox4x32_ctr_t r = philox4x32_R(10, words, halves);
  return {{r.v[0], r.v[1], r.v[2], r.v[3]}};
}

// Uniform in [0, 1), 24 bits.
GESTALT_HOST_DEVICE float uniform(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// The four words of slot `slot` of what `sample` needs at `step`.
GESTALT_HOST_DEVICE Philox4 draw(uint64_t seed, Use use, uint64_t step, uint32_t sample, uint32_t slot) {
  return philox(seed, counter_of(use, step, sample, slot));
}

// The slot of number `number` (below 65536) of view `view`.
GESTALT_HOST_DEVICE uint32_t slot_of_view(uint32_t view, uint32_t number) { return view << 16 | number; }

}  // namespace gestalt
