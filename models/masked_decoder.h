// The light decoder of a masked autoencoder: from the tokens that an encoder saw to the pixels of every patch.
#pragma once

#include "engine/run/fields.h"
#include "models/transformer.h"

namespace gestalt {

struct DecoderOptions {
  int64_t width = 192, depth = 4, heads = 3;
  void fields(Fields& f);
};

// He et al. 2022, §3, "MAE decoder". Part names are MAE's.
class MaskedDecoder : public Module {
 public:
  MaskedDecoder() = default;
  // For tokens of `in` columns and images of side² patches of patch² pixels.
  MaskedDecoder(const DecoderOptions& options, int64_t in, int64_t side, int64_t patch, Random& random);
  // tokens (B, 1 + K, in), class token first, and where in the sequence they stand (PatchMask::places) → (B, side²,
  // patch·patch·3).
  Tensor operator()(const Tensor& tokens, const Tensor& places) const;
  void visit(Visitor& v) override;

 private:
  Linear embed_, predict_;
  Tensor mask_token_;  // (1, 1, width)
  Tensor pos_embed_;   // (1, 1 + side², width)
  std::vector<TransformerBlock> blocks_;
  LayerNorm norm_;
};

}  // namespace gestalt
