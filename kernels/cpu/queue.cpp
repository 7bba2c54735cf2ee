// Writing into a ring of rows on the CPU.
#include "kernels/queue.h"

#include <algorithm>

namespace gestalt::kernels::cpu {

void run(const Enqueue& k, Stream) {
  auto* place = k.place.as<int32_t>();
  dispatch_float(k.rows.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* rows = k.rows.as<T>();
    S* ring = k.ring.as<S>();
    for (int64_t i = 0; i < k.count; ++i) {
      S* to = ring + (place[0] + i) % k.length * k.dim;
      for (int64_t d = 0; d < k.dim; ++d) to[d] = static_cast<S>(rows[i * k.dim + d]);
    }
  });
  place[0] = static_cast<int32_t>((place[0] + k.count) % k.length);
  place[1] = static_cast<int32_t>(std::min(k.length, place[1] + k.count));
}

}  // namespace gestalt::kernels::cpu
