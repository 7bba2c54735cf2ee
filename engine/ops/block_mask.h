// Patches chosen by blocks: what is predicted from what.
#pragma once

#include "engine/run/fields.h"
#include "engine/tensor/tensor.h"
#include "kernels/block_mask.h"

namespace gestalt {

// Lists of patches, each a row; see kernels::DrawBlocks.
struct BlockLists {
  Tensor context;  // i32 (B, kept)
  Tensor targets;  // i32 (B, blocks · picked), block after block
  Tensor places;   // i32 (B · blocks, kept + picked): for each target the context's patches, then its own
};

// The blocks of I-JEPA (Assran et al. 2023, appendix A.1) for the images whose indices in their data set are `samples`,
// i32 (B). An image's lists are a function of its index, how, kept, picked, seed and step alone, and their lengths are
// the same for all. No patch of a context is in a target of its image. Throws Error unless the lists fit the grid.
BlockLists draw_blocks(const Tensor& samples, const kernels::BlockSampling& how, int64_t kept, int64_t picked,
                       uint64_t seed, kernels::Varying<uint64_t> step);

// Lengths that nearly all lists of a sampler reach: of the contexts and of the targets that are drawn first all but a
// twentieth. A context that does not is drawn again, a target names some of its patches twice. Estimated from draws
// that depend on `how` alone. Throws Error where no context is left.
struct BlockLengths {
  int64_t kept, picked;
};
BlockLengths block_lengths(const kernels::BlockSampling& how);

// Masks of V views of B images, view after view; see kernels::MaskBlocks.
struct BlockMasks {
  Tensor hidden;  // i32 (V · B, patches): 1 where hidden, else 0
  Tensor masked;  // i32 (V · B, most): the hidden patches in order, then patch 0 again and again
  Tensor weights;  // f32 (V · B · most): each hidden patch's share of its view's mean, each view's of all; 0 past those
};

// The block-wise masks of iBOT (Zhou et al. 2022) for `views` views of the images whose indices in their data set are
// `samples`, i32 (B). A mask is a function of an image's index, its view, how, seed and step alone; no mask hides more
// than how.most() patches. Throws Error where that is none.
BlockMasks mask_blocks(const Tensor& samples, int64_t views, const kernels::MaskSampling& how, uint64_t seed,
                       kernels::Varying<uint64_t> step);

// The sampling's shares and shapes as hyper-parameters.
void block_fields(Fields& f, kernels::BlockSampling& blocks);

}  // namespace gestalt
