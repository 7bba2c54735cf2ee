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

// One view's mask.
struct Masker {
  const MaskSampling& how;
  uint64_t seed, step;
  int32_t sample;
  int64_t view;
  int32_t* hidden;
  int number = 0;

  Philox4 words() { return mask_words(seed, step, sample, view, number++); }

  // Hides a block if it fits; how many patches it added.
  int32_t add(const PatchBlock& block, double room) {
    int32_t fresh = block.area();
    for (int32_t r = block.top; r < block.top + block.height; ++r)
      for (int32_t c = block.left; c < block.left + block.width; ++c) fresh -= hidden[r * how.columns + c];
    if (fresh <= 0 || fresh > room) return 0;
    for (int32_t r = block.top; r < block.top + block.height; ++r)
      std::fill_n(hidden + r * how.columns + block.left, block.width, 1);
    return fresh;
  }
  int32_t draw() {
    std::fill_n(hidden, how.patches(), 0);
    const double goal = mask_goal(how, words());
    int32_t count = 0;
    for (int failed = 0; count < goal && failed < MaskSampling::attempts;) {
      const int32_t added = add(mask_block(how, goal - count, words()), goal - count);
      count += added;
      failed = added > 0 ? 0 : failed + 1;
    }
    return count;
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

void run(const MaskBlocks& k, Stream) {
  const int32_t* samples = k.samples.as<int32_t>();
  const uint64_t step = k.step.now();
  const int64_t rows = k.views * k.batch, patches = k.how.patches();
  parallel_ranges(rows, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int32_t *hidden = k.hidden.as<int32_t>() + i * patches, *masked = k.masked.as<int32_t>() + i * k.most;
      float* weights = k.weights.as<float>() + i * k.most;
      const int32_t count = Masker{k.how, k.seed, step, samples[i % k.batch], i / k.batch, hidden}.draw();
      std::fill_n(masked, k.most, 0);
      std::fill_n(weights, k.most, 0.0f);
      if (count > 0) std::fill_n(weights, count, static_cast<float>(1 / (real(count) * real(rows))));
      for (int32_t n = 0, at = 0; n < patches; ++n)
        if (hidden[n]) masked[at++] = n;
    }
  });
}

}  // namespace gestalt::kernels::cpu
