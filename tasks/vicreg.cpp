// VICReg: views of an image agree, while each number of the embedding varies and says what no other says.
// Bardes, Ponce and LeCun 2022, "VICReg: variance-invariance-covariance regularization for self-supervised learning".
#include "engine/ops/covariance.h"
#include "engine/ops/pointwise.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// Equations 1 to 6, with the means of the authors' code: the variance term is the mean of both views', and each
// view passes batch norm by itself. No teacher, no queue, and embeddings of any length: nothing is normalised.
class Vicreg : public ImageMethod {
 public:
  Vicreg() {
    run.batch = 256;
    optimizer.kind = "lars";
    optimizer.rate = 0.3;
    optimizer.decay = 1e-4;
    optimizer.clip_local = true;
    optimizer.warmup_epochs = 10;
    augment.crop_min = 0.2;
    augment.saturation = 0.2;
    augment.solarize = 0.1;
  }

  void own_fields(Fields& f) override {
    f.title("VICReg");
    f("invariance", invariance_, "weight of the distance between the views (λ)", at_least(0));
    f("variance", variance_, "weight of the hinge on each number's deviation (μ); with 0 the features collapse",
      at_least(0));
    f("covariance", covariance_, "weight of the covariance between numbers (ν)", at_least(0));
    f("head-hidden", head_hidden_, "width of the expander's two hidden layers", between(1, 1 << 20));
    f("head-out", head_out_, "width of the embedding", between(1, 1 << 20));
  }

  void build_heads(Random& random) override {
    projector_ = MlpHead(encoder_->features(), head_hidden_, head_out_, 3, true, random, false, false);
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    Tensor z[2];  // (B, head_out)
    for (int v = 0; const Tensor& view : split_views(batch.views[0], 2))
      z[v++] = projector_(encoder_->forward(view, true), true);
    const Tensor near = mean_squared(z[0], z[1]);
    const Tensor hinge = scale(add(variance_hinge(z[0]), variance_hinge(z[1])), 0.5);
    const Tensor shared = add(covariance_loss(z[0]), covariance_loss(z[1]));
    const Tensor total = add(add(scale(near, invariance_), scale(hinge, variance_)), scale(shared, covariance_));
    return {total, z[0], {{"invariance", near}, {"variance", hinge}, {"covariance", shared}}};
  }

  std::vector<CollapseSign> collapse_signs() const override {
    return usual_signs_and({{"variance", CollapseSign::Side::above, 0.95, "the numbers of the embedding hardly vary"}});
  }
  std::string collapse_cure() const override {
    return variance_ > 0 ? "try a larger --variance or a lower --lr"
                         : "VICReg needs its variance term: run with --variance 25";
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("projector", projector_);
  }

 private:
  double invariance_ = 25, variance_ = 25, covariance_ = 1;
  int64_t head_hidden_ = 2048, head_out_ = 2048;
  MlpHead projector_;
};

const RegisterMethod<Vicreg> vicreg(
    "vicreg", "VICReg (Bardes et al. 2022): views agree, each number of the embedding varies, none repeats another");

}  // namespace
}  // namespace gestalt
