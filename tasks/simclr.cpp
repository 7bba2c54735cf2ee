// SimCLR: two views of an image agree, against all other images of the batch.
// Chen et al. 2020, "A simple framework for contrastive learning of visual representations", algorithm 1.
#include "engine/ops/contrast.h"
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
    f("temperature", temperature_, "softmax temperature of NT-Xent (τ)", at_least(0.0137));
    f("head-hidden", head_hidden_, "width of the projection head's hidden layers", between(1, 1 << 20));
    f("head-out", head_out_, "width of the projection", between(1, 1 << 20));
    f("head-layers", head_layers_, "linear layers of the projection head", between(1, 1000));
    f("head-norm", head_norm_, "batch norm in the projection head");
  }

  void build_heads(Random& random) override {
    head_ = MlpHead(encoder_->features(), head_hidden_, head_out_, head_layers_, head_norm_, random);
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    const Tensor h = encoder_->forward(batch.views[0], true);  // (2B, F)
    return {nt_xent(head_(h, true), temperature_), h};
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("head", head_);
  }

 private:
  double temperature_ = 0.5;
  int64_t head_hidden_ = 512, head_out_ = 128, head_layers_ = 2;
  bool head_norm_ = true;
  MlpHead head_;
};

const RegisterMethod<Simclr> simclr(
    "simclr", "SimCLR (Chen et al. 2020): two views of an image agree against all others, by NT-Xent");

}  // namespace
}  // namespace gestalt
