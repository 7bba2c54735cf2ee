// Barlow Twins: the numbers of two views' embeddings correlate with themselves and with no other number.
// Zbontar, Jing, Misra, LeCun and Deny 2021, "Barlow Twins: self-supervised learning via redundancy reduction".
#include "engine/data/images/views.h"
#include "engine/ops/covariance.h"
#include "engine/ops/pointwise.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// Equation 1, as in the authors' code: each view passes batch norm by itself, the embeddings one more without scale and
// shift, and the loss is a sum over the matrix, so that its size grows with the embedding's width.
class Barlow : public ImageMethod {
 public:
  Barlow() {
    run.batch = 256;
    optimizer.kind = "lars";
    optimizer.rate = 0.3;
    optimizer.decay = 1e-4;
    optimizer.clip_local = true;
    optimizer.warmup_epochs = 10;
    augment.saturation = 0.2;
  }

  void own_fields(Fields& f) override {
    f.title("Barlow Twins");
    second_.fields(f);
    f("off-diagonal", off_diagonal_, "weight of the correlations between numbers (λ); with 0 all may say the same");
    f("loss-scale", loss_scale_, "factor of the whole loss");
    f("head-hidden", head_hidden_, "width of the projector's hidden layers", between(1, 1 << 20));
    f("head-out", head_out_, "width of the embedding", between(1, 1 << 20));
    f("head-layers", head_layers_, "linear layers of the projector", between(1, 1000));
  }

  std::vector<ViewGroup> views() const override {
    return {{{augment.parameters(), second_.of(augment).parameters()}, image_size}};
  }

  void build_heads(Random& random) override {
    projector_ = MlpHead(encoder_->features(), head_hidden_, head_out_, head_layers_, true, random, false, false);
    norm_ = BatchNorm(head_out_, false);
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    Tensor z[2], normed[2];  // (B, head_out)
    for (int v = 0; const Tensor& view : split_views(batch.views[0], 2)) {
      z[v] = projector_(encoder_->forward(view, true), true);
      normed[v] = norm_(z[v], true);
      ++v;
    }
    const auto [total, diagonal, redundancy] = cross_correlation(normed[0], normed[1], off_diagonal_);
    return {scale(total, loss_scale_), z[0], {{"diagonal", diagonal}, {"redundancy", redundancy}}};
  }

  std::vector<CollapseSign> collapse_signs() const override {
    return usual_signs_and(
        {{"redundancy", CollapseSign::Side::above, 0.5, "the numbers of the embedding repeat each other"}});
  }
  std::string collapse_cure() const override {
    return off_diagonal_ > 0 ? "try a larger --off-diagonal, a lower --lr or a larger --batch"
                             : "Barlow Twins needs its off-diagonal term: run with --off-diagonal 0.005";
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("projector", projector_);
    v("norm", norm_);
  }

 private:
  double off_diagonal_ = 0.005, loss_scale_ = 0.1;
  int64_t head_hidden_ = 2048, head_out_ = 2048, head_layers_ = 3;
  SecondViewOptions second_{.solarize = 0.2};
  MlpHead projector_;
  BatchNorm norm_;
};

const RegisterMethod<Barlow> barlow(
    "barlow", "Barlow Twins (Zbontar et al. 2021): each number of two views' embeddings agrees, none repeats another");

}  // namespace
}  // namespace gestalt
