// Initial weights on the CPU, as many at once as registers hold. Compiled without contracted products (CMakeLists.txt),
// so that a seed gives the same bits at every level.
#include "kernels/initial.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t block = 256;

// z[i] = number first + i of the tensor's.
void normal_block(const NormalWeights& k, int64_t first, int64_t count, double* z) {
  uint32_t words[2][block];
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const Philox4 r = draw(k.seed, Use::weights, k.number, static_cast<uint32_t>(first + i), 0);
    words[0][i] = r.word[0];
    words[1][i] = r.word[1];
  }
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) z[i] = normal_of(words[0][i], words[1][i]);
}

double redrawn(const NormalWeights& k, int64_t element, double z) {
  for (uint32_t attempt = 1; std::abs(z) > 2; ++attempt) {
    const Philox4 r = draw(k.seed, Use::weights, k.number, static_cast<uint32_t>(element), attempt);
    z = normal_of(r.word[0], r.word[1]);
  }
  return z;
}

}  // namespace

void run(const NormalWeights& k) {
  parallel_ranges(k.count, 32 * block, [&](int64_t begin, int64_t end) {
    double z[block];
    for (int64_t first = begin; first < end; first += block) {
      const int64_t count = std::min(block, end - first);
      normal_block(k, first, count, z);
      if (k.truncated)
        for (int64_t i = 0; i < count; ++i) z[i] = redrawn(k, first + i, z[i]);
      for (int64_t i = 0; i < count; ++i) k.y[first + i] = static_cast<float>(k.mean + k.deviation * z[i]);
    }
  });
}

}  // namespace gestalt::kernels::cpu
