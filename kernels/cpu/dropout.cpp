// Dropout on the CPU: random words for a batch of elements side by side, then the elements.
#include "kernels/dropout.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/write.h"

namespace gestalt::kernels::cpu {

void run(const Dropout& k, Stream) {
  constexpr int64_t batch = 128;  // blocks of four words
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* x = k.x.as<T>();
    T* y = k.y.as<T>();
    const uint64_t step = k.step.now(), seed = k.seed;
    const uint32_t slot = k.slot, least = static_cast<uint32_t>(std::ceil(k.p * 0x1p24));  // of a kept one's uniform()
    const S gain = static_cast<S>(1 / (1 - k.p));
    parallel_ranges((k.count + 4 * batch - 1) / (4 * batch), 8, [&](int64_t begin, int64_t end) {
      uint32_t words[4 * batch];
      for (int64_t first = begin * batch; first < end * batch; first += batch) {
#pragma omp simd
        for (int64_t j = 0; j < batch; ++j) {
          const Philox4 r = dropout_words(seed, step, slot, first + j);
          for (int64_t w = 0; w < 4; ++w) words[4 * j + w] = r.word[w];
        }
        const T* from = x + 4 * first;
        write_range(y + 4 * first, 0, std::min(4 * batch, k.count - 4 * first),
                    [&](int64_t i) { return words[i] >> 8 >= least ? static_cast<S>(from[i]) * gain : S(0); });
      }
    });
  });
}

}  // namespace gestalt::kernels::cpu
