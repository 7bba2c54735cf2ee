// Normal noise on the CPU.
#include "kernels/noise.h"

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {

void run(const NormalNoise& k, Stream) {
  const int32_t* samples = k.samples.as<int32_t>();
  const uint64_t step = k.step.now();
  dispatch_float(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* y = k.y.as<T>();
    parallel_ranges(k.rows, 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        for (int64_t j = 0; j < k.columns; j += 2) {
          const NormalPair pair =
              normal_pair(k.seed, Use::noise, step, static_cast<uint32_t>(samples[i]), static_cast<uint32_t>(j / 2));
          y[i * k.columns + j] = static_cast<T>(pair.first);
          if (j + 1 < k.columns) y[i * k.columns + j + 1] = static_cast<T>(pair.second);
        }
    });
  });
}

}  // namespace gestalt::kernels::cpu
