// BYOL: a network predicts what its own moving average says about another view of the same image.
// Grill et al. 2020, "Bootstrap your own latent: a new approach to self-supervised learning", section 3.
#include "engine/data/images/views.h"
#include "engine/ops/contrast.h"
#include "engine/ops/pointwise.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// As in the authors' code, each view passes batch norm by itself, and the target network normalises by the statistics
// of its batch: only weights are averaged. The collapse meter looks at the projections, which collapse first.
class Byol : public ImageMethod {
 public:
  Byol() {
    run.batch = 256;
    optimizer.kind = "sgd";
    optimizer.rate = 0.03;
    optimizer.decay = 2e-3;
  }

  void own_fields(Fields& f) override {
    f.title("BYOL");
    second_.fields(f);
    f("tau", tau_, "share of itself that the target keeps in a step, at the beginning (τ)", between(0, 1));
    f("tau-end", tau_end_, "the same at the end; a cosine leads there", between(0, 1));
    f("head-hidden", head_hidden_, "width of the projector's hidden layer", between(1, 1 << 20));
    f("head-out", head_out_, "width of the projection", between(1, 1 << 20));
    f("predictor", use_predictor_, "predict the target's projection; without this BYOL collapses");
    f("predictor-hidden", predictor_hidden_, "width of the predictor's hidden layer", between(1, 1 << 20));
  }

  std::vector<ViewGroup> views() const override {
    return {{{augment.parameters(), second_.of(augment).parameters()}, image_size}};
  }

  void build_heads(Random& random) override {
    const auto projector = [&] { return MlpHead(encoder_->features(), head_hidden_, head_out_, 2, true, random); };
    projector_ = projector();
    if (use_predictor_) predictor_ = MlpHead(head_out_, predictor_hidden_, head_out_, 2, true, random);
    target_encoder_ = new_encoder(random);
    target_projector_ = projector();
    online_ = Group({{"encoder", encoder_.get()}, {"projector", &projector_}});
    target_ = Group({{"encoder", target_encoder_.get()}, {"projector", &target_projector_}});
    copy_parts(online_, target_);
  }

  void plan(Plan& p) override { p.teacher(target_, online_, Schedule::cosine(tau_, tau_end_, p.total_steps)); }

  Loss loss(const Batch& batch, const StepInfo&) override {
    const std::vector<Tensor> view = split_views(batch.views[0], 2);
    Tensor projection[2], prediction[2], target[2];  // (B, head_out)
    for (int v = 0; v < 2; ++v) {
      const NoGrad off;
      target[v] = target_projector_(target_encoder_->forward(view[v], true), true);
    }
    for (int v = 0; v < 2; ++v) {
      projection[v] = projector_(encoder_->forward(view[v], true), true);
      prediction[v] = use_predictor_ ? predictor_(projection[v], true) : projection[v];
    }
    return {add(cosine_loss(prediction[0], target[1]), cosine_loss(prediction[1], target[0])), projection[0]};
  }

  std::string collapse_cure() const override {
    return use_predictor_ ? "try a lower --lr, a larger --batch, a --tau nearer to 1 or a wider --predictor-hidden"
                          : "BYOL needs its predictor: run without --no-predictor";
  }

  void visit(Visitor& v) override {
    online_.visit(v);
    v("predictor", predictor_);
    v.state("target", target_);
  }

 private:
  double tau_ = 0.99, tau_end_ = 1;
  int64_t head_hidden_ = 1024, head_out_ = 256, predictor_hidden_ = 1024;
  bool use_predictor_ = true;
  SecondViewOptions second_;
  MlpHead projector_, predictor_, target_projector_;
  std::unique_ptr<Encoder> target_encoder_;
  Group online_, target_;  // what has a moving average, and that average
};

const RegisterMethod<Byol> byol(
    "byol", "BYOL (Grill et al. 2020): predict what the network's own moving average says about another view");

}  // namespace
}  // namespace gestalt
