// Kernels that choose patches by blocks: what I-JEPA predicts, and from what; what iBOT hides.
#pragma once

#include <cmath>

#include "kernels/philox.h"
#include "kernels/varying.h"

namespace gestalt::kernels {

struct PatchBlock {
  int32_t top, left, height, width;

  GESTALT_HOST_DEVICE int32_t area() const { return height * width; }
  GESTALT_HOST_DEVICE bool has(int32_t row, int32_t column) const {
    return row >= top && row < top + height && column >= left && column < left + width;
  }
};

// How large blocks are: their share of the grid's patches, and their height over their width.
struct BlockRange {
  double scale_low = 0, scale_high = 0, aspect_low = 1, aspect_high = 1;
};

// The sampler of I-JEPA (Assran et al. 2023, appendix A.1): target blocks, and a context block without the targets.
struct BlockSampling {
  static constexpr int most_blocks = 16, attempts = 20;
  int32_t rows = 0, columns = 0;  // of patches
  int32_t blocks = 4;             // targets
  BlockRange target = {0.15, 0.2, 0.75, 1.5}, context = {0.85, 1, 1, 1};
  // As in the published code: one number draws both scale and aspect, no block reaches the last row or column, and the
  // patches kept are the first ones. Without it scale and aspect are independent, blocks lie anywhere in the grid, and
  // the patches kept are any.
  bool original = false;

  GESTALT_HOST_DEVICE int32_t patches() const { return rows * columns; }
};

// Slots of an image's draws: list 0 is the context, 1 … blocks are the targets.
GESTALT_HOST_DEVICE uint32_t block_slot(int list, int attempt) {
  return static_cast<uint32_t>(1 + list) << 16 | 1u << 15 | static_cast<uint32_t>(attempt);
}
GESTALT_HOST_DEVICE uint32_t block_noise(uint64_t seed, uint64_t step, int32_t sample, int list, int32_t patch) {
  const uint32_t slot = static_cast<uint32_t>(1 + list) << 16 | static_cast<uint32_t>(patch / 4);
  return draw(seed, Use::mask, step, static_cast<uint32_t>(sample), slot).word[patch % 4];
}

// Uniform in 0 … count − 1; 0 of none.
GESTALT_HOST_DEVICE int32_t below(uint32_t word, int32_t count) {
  return static_cast<int32_t>(static_cast<uint64_t>(word) * static_cast<uint32_t>(count) >> 32);
}

GESTALT_HOST_DEVICE int32_t side_of_block(double length, int32_t most) {
  const auto side = static_cast<int32_t>(floor(length + 0.5));
  return side < 1 || most < 1 ? 1 : (side > most ? most : side);
}

GESTALT_HOST_DEVICE PatchBlock draw_block(const BlockSampling& how, const BlockRange& range, const Philox4& random) {
  const double u = static_cast<double>(uniform(random.word[0]));
  const double v = how.original ? u : static_cast<double>(uniform(random.word[1]));
  const double area = floor(how.patches() * (range.scale_low + u * (range.scale_high - range.scale_low)));
  const double aspect = range.aspect_low + v * (range.aspect_high - range.aspect_low);
  const int32_t edge = how.original ? 1 : 0;
  PatchBlock block;
  block.height = side_of_block(sqrt(area * aspect), how.rows - edge);
  block.width = side_of_block(sqrt(area / aspect), how.columns - edge);
  block.top = below(random.word[2], how.rows - block.height + 1 - edge);
  block.left = below(random.word[3], how.columns - block.width + 1 - edge);
  return block;
}

// An image's blocks.
struct DrawnBlocks {
  PatchBlock of[1 + BlockSampling::most_blocks];  // the context's, then the targets'

  // Whether a list may hold the patch: a target all of its block, the context its block without the targets.
  GESTALT_HOST_DEVICE bool has(const BlockSampling& how, int list, int32_t patch) const {
    const int32_t row = patch / how.columns, column = patch % how.columns;
    if (!of[list].has(row, column)) return false;
    if (list > 0) return true;
    for (int t = 1; t <= how.blocks; ++t)
      if (of[t].has(row, column)) return false;
    return true;
  }
};

GESTALT_HOST_DEVICE PatchBlock draw_block(const BlockSampling& how, uint64_t seed, uint64_t step, int32_t sample,
                                          int attempt, int list) {
  return draw_block(how, list == 0 ? how.context : how.target,
                    draw(seed, Use::mask, step, static_cast<uint32_t>(sample), block_slot(list, attempt)));
}
inline DrawnBlocks draw_blocks(const BlockSampling& how, uint64_t seed, uint64_t step, int32_t sample, int attempt) {
  DrawnBlocks drawn{};
  for (int list = 0; list <= how.blocks; ++list) drawn.of[list] = draw_block(how, seed, step, sample, attempt, list);
  return drawn;
}

// Lists of one length for all images: of a list's patches as many as it takes, any of them or the first ones, and of
// fewer the same ones again. An image's blocks are drawn until its context has `kept` patches, up to `attempts` times;
// of those the one with the largest context is taken. The context never has a target's patch.
struct DrawBlocks {
  In samples;   // i32 (batch), each image's index in its data set
  Out context;  // i32 (batch, kept)
  Out targets;  // i32 (batch, blocks · picked), block after block
  Out places;   // i32 (batch · blocks, kept + picked): for each target the context's patches, then its own
  BlockSampling how;
  int64_t batch, kept, picked;
  uint64_t seed;
  Varying<uint64_t> step;
};
GESTALT_KERNEL(DrawBlocks)
inline Cost cost(const DrawBlocks& k) {
  return {.bytes = traffic(k.batch * k.kept, k.context) + traffic(k.batch * k.how.blocks * k.picked, k.targets) +
                   traffic(k.batch * k.how.blocks * (k.kept + k.picked), k.places)};
}

// The block-wise masks of iBOT (Zhou et al. 2022, with the published code's sampler, which is BEiT's).
struct MaskSampling {
  static constexpr int attempts = 10;  // at a block
  int32_t rows = 0, columns = 0;       // of patches
  double chance = 0.5;                 // that a view has a mask
  double ratio_low = 0.1, ratio_high = 0.5, aspect_low = 0.3, aspect_high = 1 / 0.3;

  GESTALT_HOST_DEVICE int32_t patches() const { return rows * columns; }
  int64_t most() const { return static_cast<int64_t>(std::floor(ratio_high * patches() + 1e-9)); }
};

// Slots of a view's draws: number 0 says whether it has a mask and how large, the next ones are attempts at blocks.
GESTALT_HOST_DEVICE Philox4 mask_words(uint64_t seed, uint64_t step, int32_t sample, int64_t view, int number) {
  const uint32_t slot = static_cast<uint32_t>(1 + view) << 16 | 1u << 15 | static_cast<uint32_t>(number);
  return draw(seed, Use::mask, step, static_cast<uint32_t>(sample), slot);
}
// How many patches a mask aims at; 0: the view has none.
GESTALT_HOST_DEVICE double mask_goal(const MaskSampling& how, const Philox4& random) {
  const double ratio = how.ratio_low + static_cast<double>(uniform(random.word[1])) * (how.ratio_high - how.ratio_low);
  return static_cast<double>(uniform(random.word[0])) < how.chance ? ratio * how.patches() : 0;
}
// A block of up to `room` patches or so. One without area is none: it would not fit.
GESTALT_HOST_DEVICE PatchBlock mask_block(const MaskSampling& how, double room, const Philox4& random) {
  const int32_t third = (how.rows < how.columns ? how.rows : how.columns) / 3;
  const double least = third * third, low = log(how.aspect_low), high = log(how.aspect_high);
  const double area = least + static_cast<double>(uniform(random.word[0])) * (room - least);
  const double aspect = exp(low + static_cast<double>(uniform(random.word[1])) * (high - low));
  PatchBlock block;
  block.height = static_cast<int32_t>(floor(sqrt(area * aspect) + 0.5));
  block.width = static_cast<int32_t>(floor(sqrt(area / aspect) + 0.5));
  if (block.height >= how.rows || block.width >= how.columns) block.height = block.width = 0;
  block.top = below(random.word[2], how.rows - block.height + 1);
  block.left = below(random.word[3], how.columns - block.width + 1);
  return block;
}

// Masks of `views` views of each image, view after view. Blocks are added until a mask has what it aims at or
// `attempts` blocks in a row do not fit: a block fits if it hides a patch more, and no more than are wanted.
struct MaskBlocks {
  In samples;   // i32 (batch), each image's index in its data set
  Out hidden;   // i32 (views · batch, patches): 1 where hidden, else 0
  Out masked;   // i32 (views · batch, most): the hidden patches in order, then patch 0 again and again
  Out weights;  // f32 (views · batch · most): 1 / (hidden patches of the view · views · batch), 0 past those
  MaskSampling how;
  int64_t batch, views, most;
  uint64_t seed;
  Varying<uint64_t> step;
};
GESTALT_KERNEL(MaskBlocks)
inline Cost cost(const MaskBlocks& k) {
  const int64_t rows = k.views * k.batch;
  return {.bytes = traffic(rows * k.how.patches(), k.hidden) + traffic(rows * k.most, k.masked, k.weights)};
}

}  // namespace gestalt::kernels
