// Patch predictor: construction and forward pass.
#include "models/patch_predictor.h"

#include "engine/ops/tokens.h"
#include "models/vit.h"

namespace gestalt {

void PredictorOptions::fields(Fields& f) {
  f("predictor-width", width, "width of the predictor", between(4, 1 << 20));
  f("predictor-depth", depth, "blocks of the predictor", between(1, 1000));
  f("predictor-heads", heads, "attention heads of the predictor", between(1, 1 << 20));
}

PatchPredictor::PatchPredictor(const PredictorOptions& options, int64_t in, int64_t side, Random& random)
    : embed_(make_linear(in, options.width, WeightDraw::truncated, random)),
      project_(make_linear(options.width, in, WeightDraw::truncated, random)),
      mask_token_(random.truncated_normal({1, 1, options.width}, 0.02).require_grad()),
      pos_embed_(sincos_patch_positions(side, options.width)),
      norm_(options.width, 1e-6) {
  for (int64_t i = 0; i < options.depth; ++i)
    blocks_.emplace_back(
        TransformerOptions{.width = options.width, .heads = options.heads, .draw = WeightDraw::truncated}, random);
}

Tensor PatchPredictor::operator()(const Tensor& context, const Tensor& places) const {
  check(context.rank() == 3 && places.rank() == 2 && places.dim(0) % context.dim(0) == 0 &&
            places.dim(1) > context.dim(1),
        "[predictor] got context {} and places {}, expected (B, K, D) and (B · blocks, K + M)", context.shape().text(),
        places.shape().text());
  const int64_t batch = context.dim(0), kept = context.dim(1), width = pos_embed_.dim(2);
  const int64_t sequences = places.dim(0), blocks = sequences / batch, length = places.dim(1);
  const Tensor& counting = this->counting(sequences, kept, context.device());
  const Tensor repeated = gather_rows(embed_(context), counting.reshape({batch, blocks * kept}));
  Tensor x = scatter_tokens(repeated.reshape({sequences, kept, width}), counting, mask_token_.reshape({width}), length);
  x = add_positions(x, pos_embed_, places);
  const Tensor y = project_(norm_(slice_tokens(through(blocks_, x).sum(), kept, length)));
  return y.reshape({batch, blocks * (length - kept), y.dim(2)});
}

// Made at the first pass, before any is captured.
const Tensor& PatchPredictor::counting(int64_t rows, int64_t length, Device device) const {
  if (!counting_ || counting_.shape() != Shape{rows, length} || counting_.device() != device) {
    std::vector<int32_t> numbers(static_cast<size_t>(rows * length));
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int32_t>(i % static_cast<size_t>(length));
    counting_ = Tensor::from(numbers, {rows, length}).to(device);
  }
  return counting_;
}

void PatchPredictor::visit(Visitor& v) {
  v("predictor_embed", embed_);
  v("mask_token", mask_token_);
  v.state("predictor_pos_embed", pos_embed_);
  v("predictor_blocks", blocks_);
  v("predictor_norm", norm_);
  v("predictor_proj", project_);
}

}  // namespace gestalt
