// Blocks of patches on the CPU: an image at a time, its lists by sorting noise.
#include "kernels/block_mask.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

// One image's lists.
struct Chooser {
  const DrawBlocks& k;
  uint64_t step;
  int32_t sample;
  std::vector<uint64_t> order = {};

  DrawnBlocks attempt(int number) const { return draw_blocks(k.how, k.seed, step, sample, number); }

  DrawnBlocks blocks() const {
    int best = 0;
    int64_t most = -1;
    for (int a = 0; a < BlockSampling::attempts && most < k.kept; ++a) {
      const DrawnBlocks drawn = attempt(a);
      int64_t count = 0;
      for (int32_t n = 0; n < k.how.patches(); ++n) count += drawn.has(k.how, 0, n);
      if (count > most) most = count, best = a;
    }
    return attempt(best);
  }
  void fill(const DrawnBlocks& drawn, int list, int64_t length, int32_t* to) {
    order.clear();
    for (int32_t n = 0; n < k.how.patches(); ++n) {
      if (!drawn.has(k.how, list, n)) continue;
      const uint32_t noise = k.how.original ? 0 : block_noise(k.seed, step, sample, list, n);
      order.push_back(static_cast<uint64_t>(noise) << 32 | static_cast<uint32_t>(n));
    }
    std::sort(order.begin(), order.end());
    for (int64_t i = 0; i < length; ++i)
      to[i] = order.empty() ? 0 : static_cast<int32_t>(order[i % order.size()] & 0xffffffffu);
  }
};

}  // namespace

void run(const DrawBlocks& k, Stream) {
  int32_t *context = k.context.as<int32_t>(), *targets = k.targets.as<int32_t>(), *places = k.places.as<int32_t>();
  const int32_t* samples = k.samples.as<int32_t>();
  const uint64_t step = k.step.now();
  parallel_ranges(k.batch, 8, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      Chooser chooser{k, step, samples[b]};
      const DrawnBlocks drawn = chooser.blocks();
      chooser.fill(drawn, 0, k.kept, context + b * k.kept);
      for (int t = 0; t < k.how.blocks; ++t) {
        const int64_t block = b * k.how.blocks + t;
        chooser.fill(drawn, 1 + t, k.picked, targets + block * k.picked);
        int32_t* row = places + block * (k.kept + k.picked);
        std::copy_n(context + b * k.kept, k.kept, row);
        std::copy_n(targets + block * k.picked, k.picked, row + k.kept);
      }
    }
  });
}

}  // namespace gestalt::kernels::cpu
