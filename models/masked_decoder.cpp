// Masked decoder: construction and forward pass.
#include "models/masked_decoder.h"

#include "engine/ops/tokens.h"
#include "models/vit.h"

namespace gestalt {

void DecoderOptions::fields(Fields& f) {
  f("decoder-width", width, "width of the decoder", between(1, 1 << 20));
  f("decoder-depth", depth, "blocks of the decoder", between(0, 1000));
  f("decoder-heads", heads, "attention heads of the decoder", between(1, 1 << 20));
}

MaskedDecoder::MaskedDecoder(const DecoderOptions& options, int64_t in, int64_t side, int64_t patch, Random& random)
    : embed_(make_linear(in, options.width, WeightDraw::xavier, random)),
      predict_(make_linear(options.width, patch * patch * 3, WeightDraw::xavier, random)),
      mask_token_(random.normal({1, 1, options.width}, 0, 0.02).require_grad()),
      pos_embed_(sincos_positions(side, options.width)),
      norm_(options.width, 1e-6) {
  check(options.depth >= 0, "[decoder] got a depth of {}, expected 0 or more", options.depth);
  for (int64_t i = 0; i < options.depth; ++i)
    blocks_.emplace_back(TransformerOptions{.width = options.width, .heads = options.heads}, random);
}

Tensor MaskedDecoder::operator()(const Tensor& tokens, const Tensor& places) const {
  const int64_t length = pos_embed_.dim(1), width = pos_embed_.dim(2);
  const Tensor x = scatter_tokens(embed_(tokens), places, mask_token_.reshape({width}), length);
  const Tensor y = through(blocks_, add_positions(x, pos_embed_)).sum();
  return predict_(norm_(slice_tokens(y, 1, length)));
}

void MaskedDecoder::visit(Visitor& v) {
  v("mask_token", mask_token_);
  v("decoder_embed", embed_);
  v.state("decoder_pos_embed", pos_embed_);
  v("decoder_blocks", blocks_);
  v("decoder_norm", norm_);
  v("decoder_pred", predict_);
}

}  // namespace gestalt
