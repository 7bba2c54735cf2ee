// A narrow transformer that predicts the features of hidden patches from those of a context.
#pragma once

#include "engine/run/fields.h"
#include "models/transformer.h"

namespace gestalt {

struct PredictorOptions {
  int64_t width = 384, depth = 6, heads = 12;
  void fields(Fields& f);
};

// The predictor of I-JEPA (Assran et al. 2023, section 3). Each block of hidden patches is a sequence of its own: the
// context's tokens in the predictor's width, then a mask token for each patch of the block, all with their positions.
// Matrices begin as the published code's (truncated normal, deviation 0.02); part names are its own.
class PatchPredictor : public Module {
 public:
  PatchPredictor() = default;
  // For features of `in` columns and images of side² patches.
  PatchPredictor(const PredictorOptions& options, int64_t in, int64_t side, Random& random);
  // context (B, K, in), places i32 (B · blocks, K + M): in each block's row the patches of the context, then those of
  // the block → (B, blocks · M, in).
  Tensor operator()(const Tensor& context, const Tensor& places) const;
  void visit(Visitor& v) override;

 private:
  const Tensor& counting(int64_t rows, int64_t length, Device device) const;

  Linear embed_, project_;
  Tensor mask_token_;        // (1, 1, width)
  Tensor pos_embed_;         // (1, side², width)
  mutable Tensor counting_;  // i32 (rows, length), each row 0 … length − 1
  std::vector<TransformerBlock> blocks_;
  LayerNorm norm_;
};

}  // namespace gestalt
