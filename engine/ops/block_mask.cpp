// Blocks of patches: checks, launch, and how long the lists are.
#include "engine/ops/block_mask.h"

#include <algorithm>

namespace gestalt {
namespace {

using kernels::BlockRange;
using kernels::BlockSampling;

void check_range(const char* of, const BlockRange& r) {
  check(0 < r.scale_low && r.scale_low <= r.scale_high && r.scale_high <= 1,
        "[draw_blocks] got {} blocks of {} to {} of the patches, expected a range within (0, 1]", of, r.scale_low,
        r.scale_high);
  check(0 < r.aspect_low && r.aspect_low <= r.aspect_high,
        "[draw_blocks] got {} blocks of aspect {} to {}, expected a range above 0", of, r.aspect_low, r.aspect_high);
}

void check_sampling(const BlockSampling& how) {
  check(how.rows >= 1 && how.columns >= 1 && how.blocks >= 1 && how.blocks <= BlockSampling::most_blocks,
        "[draw_blocks] got {} targets in {} x {} patches, expected 1 to {}", how.blocks, how.rows, how.columns,
        BlockSampling::most_blocks);
  check_range("target", how.target);
  check_range("context", how.context);
}

void check_samples(const char* op, const Tensor& samples) {
  check(samples.rank() == 1 && samples.dtype() == DType::i32, "[{}] got samples {} {}, expected i32 (B)", op,
        name(samples.dtype()), samples.shape().text());
}

}  // namespace

BlockLists draw_blocks(const Tensor& samples, const BlockSampling& how, int64_t kept, int64_t picked, uint64_t seed,
                       kernels::Varying<uint64_t> step) {
  check_samples("draw_blocks", samples);
  check_sampling(how);
  check(kept >= 1 && picked >= 1 && kept <= how.patches() && picked <= how.patches(),
        "[draw_blocks] got lists of {} and {} of {} patches, expected 1 or more and no more than there are", kept,
        picked, how.patches());
  const int64_t batch = samples.dim(0);
  const auto make = [&](int64_t rows, int64_t count) {
    return Tensor::empty({rows, count}, DType::i32, samples.device());
  };
  BlockLists lists{make(batch, kept), make(batch, how.blocks * picked), make(batch * how.blocks, kept + picked)};
  kernels::launch(kernels::DrawBlocks{.samples = samples.in(),
                                      .context = lists.context.out(),
                                      .targets = lists.targets.out(),
                                      .places = lists.places.out(),
                                      .how = how,
                                      .batch = batch,
                                      .kept = kept,
                                      .picked = picked,
                                      .seed = seed,
                                      .step = step},
                  samples.stream());
  return lists;
}

BlockLengths block_lengths(const BlockSampling& how) {
  check_sampling(how);
  constexpr int32_t draws = 1024;
  std::vector<int64_t> contexts, targets;
  for (int32_t sample = 0; sample < draws; ++sample) {
    const kernels::DrawnBlocks drawn = kernels::draw_blocks(how, 0, 0, sample, 0);
    int64_t left = 0;
    for (int32_t n = 0; n < how.patches(); ++n) left += drawn.has(how, 0, n);
    contexts.push_back(left);
    for (int32_t t = 1; t <= how.blocks; ++t) targets.push_back(drawn.of[t].area());
  }
  const auto reached = [](std::vector<int64_t>& counts) {
    std::sort(counts.begin(), counts.end());
    return counts[counts.size() / 20];
  };
  const int64_t kept = reached(contexts);
  check(kept >= 1,
        "[draw_blocks] got {} targets of up to {} of {} x {} patches, which leave no context; use smaller patches, or "
        "fewer or smaller targets",
        how.blocks, how.target.scale_high, how.rows, how.columns);
  return {kept, reached(targets)};
}

BlockMasks mask_blocks(const Tensor& samples, int64_t views, const kernels::MaskSampling& how, uint64_t seed,
                       kernels::Varying<uint64_t> step) {
  check_samples("mask_blocks", samples);
  check(0 < how.ratio_low && how.ratio_low <= how.ratio_high && how.ratio_high < 1,
        "[mask_blocks] got masks of {} to {} of the patches, expected a range within (0, 1)", how.ratio_low,
        how.ratio_high);
  check(0 < how.aspect_low && how.aspect_low <= how.aspect_high,
        "[mask_blocks] got blocks of aspect {} to {}, expected a range above 0", how.aspect_low, how.aspect_high);
  const int64_t most = how.most(), rows = views * samples.dim(0);
  check(
      views >= 1 && how.rows >= 2 && how.columns >= 2 && most >= 1,
      "[mask_blocks] got {} views of {} x {} patches of which at most {} are hidden, expected 1 at least; use smaller "
      "patches",
      views, how.rows, how.columns, most);
  const auto make = [&](const Shape& shape, DType dtype) { return Tensor::empty(shape, dtype, samples.device()); };
  BlockMasks masks{make({rows, how.patches()}, DType::i32), make({rows, most}, DType::i32),
                   make({rows * most}, DType::f32)};
  kernels::launch(kernels::MaskBlocks{.samples = samples.in(),
                                      .hidden = masks.hidden.out(),
                                      .masked = masks.masked.out(),
                                      .weights = masks.weights.out(),
                                      .how = how,
                                      .batch = samples.dim(0),
                                      .views = views,
                                      .most = most,
                                      .seed = seed,
                                      .step = step},
                  samples.stream());
  return masks;
}

void block_fields(Fields& f, BlockSampling& blocks) {
  f("target-scale-min", blocks.target.scale_low, "smallest share of the patches in a target block", above_up_to(0, 1));
  f("target-scale-max", blocks.target.scale_high, "largest share of the patches in a target block", above_up_to(0, 1));
  f("target-aspect-min", blocks.target.aspect_low, "smallest height over width of a target block", above(0));
  f("target-aspect-max", blocks.target.aspect_high, "largest height over width of a target block", above(0));
  f("context-scale-min", blocks.context.scale_low, "smallest share of the patches in the context's block",
    above_up_to(0, 1));
  f("context-scale-max", blocks.context.scale_high, "largest share of the patches in the context's block",
    above_up_to(0, 1));
  f("original-blocks", blocks.original,
    "draw blocks as the published code does: one number for scale and aspect, none at the last row and column, the "
    "first patches kept");
}

}  // namespace gestalt
