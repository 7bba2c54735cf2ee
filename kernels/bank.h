// A table with an entry for each sample of a data set, written and read by the samples of a batch.
//
// A sample out of range is refused on the CPU. On CUDA, where a kernel cannot refuse, it stores nothing and reads −1.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// table[samples[i]] = rows[i], for a sample that is named twice the last; every other row stays as it is.
struct StoreRows {
  In rows;     // (count, dim)
  In samples;  // i32 (count), in [0, length)
  Out table;   // (length, dim), the accumulator's dtype
  int64_t count, length, dim;
};
GESTALT_KERNEL(StoreRows)
inline Cost cost(const StoreRows& k) { return {.bytes = traffic(k.count * k.dim, k.rows, k.table)}; }

// y[r, i] = table[samples[i]] for each of `repeats` r.
struct ReadNumbers {
  In table;    // i32 (length)
  In samples;  // i32 (count), in [0, length)
  Out y;       // i32 (repeats, count)
  int64_t count, length, repeats;
};
GESTALT_KERNEL(ReadNumbers)
inline Cost cost(const ReadNumbers& k) { return {.bytes = traffic(k.count * (1 + k.repeats), k.y)}; }

}  // namespace gestalt::kernels
