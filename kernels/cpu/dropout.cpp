// Dropout on the CPU.
#include "kernels/dropout.h"

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {

void run(const Dropout& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* x = k.x.as<T>();
    T* y = k.y.as<T>();
    const uint64_t step = k.step.now();
    const S gain = static_cast<S>(1 / (1 - k.p));
    parallel_ranges((k.count + 3) / 4, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const Philox4 r = dropout_words(k.seed, step, k.slot, b);
        for (int64_t i = 4 * b; i < std::min(k.count, 4 * b + 4); ++i)
          store(&y[i], uniform(r.word[i - 4 * b]) >= k.p ? static_cast<S>(x[i]) * gain : S(0));
      }
    });
  });
}

}  // namespace gestalt::kernels::cpu
