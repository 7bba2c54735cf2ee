// SupCon: views of an image and of all images of its class agree, against all others. It uses the data's labels: its
// figures are those of supervised training. Khosla et al. 2020, "Supervised contrastive learning", equation 2.
#include "engine/ops/info_nce.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

class Supcon : public ImageMethod {
 public:
  Supcon() {
    run.batch = 256;
    optimizer.kind = "sgd";
    optimizer.rate = 0.4;
    optimizer.decay = 1e-5;
    optimizer.warmup_epochs = 10;
  }

  Wants wants() const override {
    Wants w = ImageMethod::wants();
    w.labels = true;
    return w;
  }

  void own_fields(Fields& f) override {
    f.title("SupCon");
    f("temperature", temperature_, "softmax temperature (τ)", at_least(0.0137));
    f("head-hidden", head_hidden_, "width of the projection head's hidden layer", between(1, 1 << 20));
    f("head-out", head_out_, "width of the projection", between(1, 1 << 20));
    f("head-norm", head_norm_, "batch norm in the projection head");
  }

  void build_heads(Random& random) override {
    head_ = MlpHead(encoder_->features(), head_hidden_, head_out_, 2, head_norm_, random);
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    const Tensor h = encoder_->forward(batch.views[0], true);  // (2B, F)
    const ContrastLoss contrast = pair_contrast(head_(h, true), {.temperature = temperature_, .labels = batch.labels});
    return {contrast.loss, h, {{"accuracy", contrast.accuracy}}};
  }

  std::vector<CollapseSign> collapse_signs() const override {
    return usual_signs_and({accuracy_by_chance(2 * run.batch - 1)});
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("head", head_);
  }

 private:
  double temperature_ = 0.2;
  int64_t head_hidden_ = 512, head_out_ = 128;
  bool head_norm_ = false;
  MlpHead head_;
};

const RegisterMethod<Supcon> supcon(
    "supcon", "SupCon (Khosla et al. 2020): images of a class agree against all others; supervised, it uses labels");

}  // namespace
}  // namespace gestalt
