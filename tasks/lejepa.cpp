// LeJEPA: an image's views agree, while embeddings are normally distributed as far as random directions can tell.
// Balestriero and LeCun 2025, "LeJEPA: provable and scalable self-supervised learning without the heuristics".
#include "engine/data/images/views.h"
#include "engine/ops/covariance.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "engine/ops/sigreg.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// Algorithm 2, as in the authors' code: views of one size pass the encoder together, all of them the head. No teacher,
// no predictor, and gradients flow through the centre that views are drawn to. SIGReg grows with the batch, and so does
// what a lambda means.
class Lejepa : public ImageMethod {
 public:
  Lejepa() {
    run.batch = 256;
    optimizer = {.kind = "adamw", .rate = 5e-4, .decay = 5e-4, .warmup_epochs = 10, .final_rate = 1e-3};
    augment.crop_min = 0.3;
    augment.saturation = 0.2;
    augment.blur = 0.5;
    augment.solarize = 0.2;
    local_.crop_max = 0.3;
  }

  void own_fields(Fields& f) override {
    f.title("LeJEPA");
    f("lambda", lambda_, "weight of SIGReg (λ); the views' distance has the rest; with 0 the features collapse",
      between(0, 1));
    f("slices", slices_, "directions that embeddings are looked at from, new ones in each step", between(1, 1 << 20));
    f("global-views", globals_, "large views, whose mean all views are drawn to", between(1, 64));
    local_.fields(f);
    f("head-hidden", head_hidden_, "width of the projector's hidden layers", between(1, 1 << 20));
    f("head-out", head_out_, "width of the embedding", between(1, 1 << 20));
    f("head-layers", head_layers_, "linear layers of the projector", between(1, 1000));
    f("head-norm", head_norm_, "batch norm in the projector's hidden layers");
  }

  std::vector<ViewGroup> views() const override {
    std::vector<ViewGroup> groups{{{static_cast<size_t>(globals_), augment.parameters()}, image_size}};
    local_.add_to(groups, augment, image_size);
    return groups;
  }

  void build_heads(Random& random) override {
    check(globals_ + local_.count >= 2, "[lejepa] got one view of each image, expected two that can agree; add views");
    projector_ = MlpHead(encoder_->features(), head_hidden_, head_out_, head_layers_, head_norm_, random);
  }

  Loss loss(const Batch& batch, const StepInfo& info) override {
    Tensor h = encoder_->forward(batch.views[0], true);
    if (batch.views.size() > 1) h = concat(h, encoder_->forward(batch.views[1], true));
    const Tensor z = projector_(h, true).to(DType::f32);  // (views · B, head_out)
    const int64_t views = globals_ + local_.count;
    const Tensor slices = random_slices(slices_, head_out_, static_cast<uint64_t>(run.seed), info.batch, z.device());
    const Tensor distance = view_distance(z, views, globals_), normality = epps_pulley(linear(z, slices), views);
    const Tensor total = add(scale(distance, 1 - lambda_), scale(normality, lambda_));
    const NoGrad off;
    const Tensor first = z.slice(0, z.dim(0) / views).detach();
    return {total, first, {{"prediction", distance}, {"sigreg", normality}, {"std", mean(column_deviations(first))}}};
  }

  std::vector<CollapseSign> collapse_signs() const override {
    return usual_signs_and({{"std", CollapseSign::Side::below, 0.1, "the numbers of the embedding hardly vary"}});
  }
  std::string collapse_cure() const override {
    return lambda_ > 0 ? "try a larger --lambda, a larger --batch or a lower --lr"
                       : "LeJEPA needs its SIGReg term: run with --lambda 0.05";
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("projector", projector_);
  }

 private:
  double lambda_ = 0.05;
  int64_t slices_ = 1024, globals_ = 2, head_hidden_ = 2048, head_out_ = 128, head_layers_ = 3;
  bool head_norm_ = true;
  LocalViewOptions local_;
  MlpHead projector_;
};

const RegisterMethod<Lejepa> lejepa(
    "lejepa", "LeJEPA (Balestriero and LeCun 2025): views agree, embeddings are normal along random directions");

}  // namespace
}  // namespace gestalt
