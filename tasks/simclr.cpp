// SimCLR: two views of an image agree, against all other images of the batch.
// Chen et al. 2020, "A simple framework for contrastive learning of visual representations", algorithm 1. Other losses:
// Yeh et al. 2022, "Decoupled contrastive learning" (dcl, dclw); Robinson et al. 2021, "Contrastive learning with hard
// negative samples" (beta, tau-plus).
#include "engine/ops/contrast.h"
#include "engine/ops/info_nce.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

class Simclr : public ImageMethod {
 public:
  Simclr() {
    run.batch = 256;
    optimizer.kind = "sgd";
    optimizer.rate = 0.06;
    optimizer.warmup_epochs = 1;
  }

  void own_fields(Fields& f) override {
    f.title("SimCLR");
    f("temperature", temperature_, "softmax temperature of the loss (τ)", at_least(0.0137));
    f("loss", loss_, "nt-xent; dcl: a positive is told from negatives alone; dclw: and weighs less when near already",
      {"nt-xent", "dcl", "dclw"});
    f("positive-temperature", positive_temperature_, "softmax temperature of dclw's weights (σ)", above(0));
    f("beta", beta_, "how much more hard negatives weigh in nt-xent (β)", at_least(0));
    f("tau-plus", tau_plus_, "share of negatives that are taken for the image's own class in nt-xent (τ⁺)",
      between(0, 1));
    f("head-hidden", head_hidden_, "width of the projection head's hidden layers", between(1, 1 << 20));
    f("head-out", head_out_, "width of the projection", between(1, 1 << 20));
    f("head-layers", head_layers_, "linear layers of the projection head", between(1, 1000));
    f("head-norm", head_norm_, "batch norm in the projection head");
  }

  void build_heads(Random& random) override {
    check(loss_ == "nt-xent" || (beta_ == 0 && tau_plus_ == 0),
          "[simclr] got --loss {} with --beta {} and --tau-plus {}, expected these with --loss nt-xent alone", loss_,
          beta_, tau_plus_);
    head_ = MlpHead(encoder_->features(), head_hidden_, head_out_, head_layers_, head_norm_, random);
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    const Tensor h = encoder_->forward(batch.views[0], true);  // (2B, F)
    const ContrastLoss made = contrast(head_(h, true));
    return {made.loss, h, {{"accuracy", made.accuracy}}};
  }

  std::vector<CollapseSign> collapse_signs() const override {
    return usual_signs_and({accuracy_by_chance(plain() ? run.batch : 2 * run.batch - 1)});
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("head", head_);
  }

 private:
  bool plain() const { return loss_ == "nt-xent" && beta_ == 0 && tau_plus_ == 0; }
  // NT-Xent sums what other forms compare, so that its accuracy is of some images, among the other views.
  ContrastLoss contrast(const Tensor& z) const {
    if (plain()) return {nt_xent(z, temperature_), view_accuracy(z)};
    return pair_contrast(z, {.temperature = temperature_,
                             .decoupled = loss_ != "nt-xent",
                             .weight_temperature = loss_ == "dclw" ? positive_temperature_ : 0,
                             .beta = beta_,
                             .tau_plus = tau_plus_});
  }

  double temperature_ = 0.5, positive_temperature_ = 0.5, beta_ = 0, tau_plus_ = 0;
  std::string loss_ = "nt-xent";
  int64_t head_hidden_ = 512, head_out_ = 128, head_layers_ = 2;
  bool head_norm_ = true;
  MlpHead head_;
};

const RegisterMethod<Simclr> simclr(
    "simclr", "SimCLR (Chen et al. 2020): two views of an image agree against all others, by NT-Xent");

}  // namespace
}  // namespace gestalt
