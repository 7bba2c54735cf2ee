// A loss's gradient brought to the loss's own gradient, on the CPU.
#include "kernels/loss_gradient.h"

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {

void run(const ScaleLossGradient& k, Stream) {
  dispatch_float(k.gradient.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const S factor = k.dloss.as<S>()[0] / static_cast<S>(k.expected);
    if (factor == 1) return;
    T* gradient = k.gradient.as<T>();
    parallel_ranges(k.count, 16384, [&](int64_t begin, int64_t end) {
      const S by = factor;
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) store(&gradient[i], by * static_cast<S>(gradient[i]));
    });
  });
}

}  // namespace gestalt::kernels::cpu
