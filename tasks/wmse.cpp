// W-MSE: whitened views of an image agree; what is white cannot be the same for all images.
// Ermolov, Siarohin, Sangineto and Sebe 2021, "Whitening for self-supervised representation learning".
#include "engine/ops/covariance.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/ops/whitening.h"
#include "kernels/whitening.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// Equations 1 and 5, as in solo-learn's code: each view passes the network by itself and is whitened by itself, in
// groups of images, the same of both views.
class Wmse : public ImageMethod {
 public:
  Wmse() {
    run.batch = 256;
    optimizer = {.kind = "adamw", .rate = 2e-3, .decay = 1e-6, .warmup_epochs = 10};
    augment.crop_min = 0.2;
  }

  void own_fields(Fields& f) override {
    f.title("W-MSE");
    f("whiten-rows", rows_, "images that are whitened together: at least twice --head-out, and a part of the batch",
      between(2, 1 << 20));
    f("shrink", shrink_, "share of the identity in the covariance, for embeddings that hardly vary; 1 collapses",
      between(0, 1));
    f("head-hidden", head_hidden_, "width of the projector's hidden layers", between(1, 1 << 20));
    f("head-out", head_out_, "width of the embedding", between(1, kernels::most_whitened));
    f("head-layers", head_layers_, "linear layers of the projector", between(1, 1000));
  }

  void build_heads(Random& random) override {
    check(rows_ >= 2 * head_out_,
          "[wmse] got --whiten-rows {} and --head-out {}, expected twice as many rows as numbers: fewer are white by "
          "themselves; run with --whiten-rows {} or --head-out {}",
          rows_, head_out_, 2 * head_out_, rows_ / 2);
    check(run.batch % rows_ == 0, "[wmse] got --batch {}, expected a multiple of --whiten-rows {}", run.batch, rows_);
    projector_ = MlpHead(encoder_->features(), head_hidden_, head_out_, head_layers_, true, random);
  }
  int64_t least_batch() const override { return rows_; }

  Loss loss(const Batch& batch, const StepInfo&) override {
    Tensor z[2], white[2];  // (B, head_out)
    for (int v = 0; const Tensor& view : split_views(batch.views[0], 2)) {
      z[v] = projector_(encoder_->forward(view, true), true).to(DType::f32);
      white[v] = normalize(whiten(z[v], rows_, shrink_));
      ++v;
    }
    // 2 − 2 cos of each image: the squared distance of rows of unit length.
    return {scale(mean_squared(white[0], white[1]), static_cast<double>(head_out_)), z[0]};
  }

  std::string collapse_cure() const override {
    return shrink_ == 1 ? "W-MSE needs its whitening: run with --shrink 0"
                        : "try a lower --lr, a lower --shrink or a smaller --head-out";
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("projector", projector_);
  }

 private:
  int64_t rows_ = 128, head_hidden_ = 1024, head_out_ = 64, head_layers_ = 2;
  double shrink_ = 0;
  MlpHead projector_;
};

const RegisterMethod<Wmse> wmse(
    "wmse", "W-MSE (Ermolov et al. 2021): views agree once whitened, which leaves no way to be the same for all");

}  // namespace
}  // namespace gestalt
