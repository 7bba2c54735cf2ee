// A ring of rows that the newest overwrite: the memory of contrastive methods.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// Row (place[0] + i) mod length of the ring becomes row i, for i < count ≤ length; then place[0] moves on by count, and
// place[1], the number of rows that came in so far, grows up to length.
struct Enqueue {
  In rows;    // (count, dim)
  Out ring;   // (length, dim), the accumulator's dtype: read and written
  Out place;  // (2) i32: next row, filled rows; read and written
  int64_t count, length, dim;
};
GESTALT_KERNEL(Enqueue)
inline Cost cost(const Enqueue& k) { return {.bytes = traffic(k.count * k.dim, k.rows, k.ring)}; }

}  // namespace gestalt::kernels
