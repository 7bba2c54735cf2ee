// SimSiam: BYOL without a moving average; the target is the network itself, held still.
// Chen and He 2021, "Exploring simple Siamese representation learning", algorithm 1. The loss is the paper's plus 1.
#include "engine/ops/contrast.h"
#include "engine/ops/pointwise.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// As in the authors' code, each view passes batch norm by itself.
class Simsiam : public ImageMethod {
 public:
  Simsiam() {
    run.batch = 256;
    optimizer.kind = "sgd";
    optimizer.rate = 0.03;
  }

  void own_fields(Fields& f) override {
    f.title("SimSiam");
    f("head-hidden", head_hidden_, "width of the projector's hidden layers", between(1, 1 << 20));
    f("head-out", head_out_, "width of the projection", between(1, 1 << 20));
    f("head-layers", head_layers_, "linear layers of the projector: 2 for CIFAR-10, 3 for ImageNet", between(1, 1000));
    f("predictor-hidden", predictor_hidden_, "width of the predictor's hidden layer", between(1, 1 << 20));
  }

  void build_heads(Random& random) override {
    projector_ = MlpHead(encoder_->features(), head_hidden_, head_out_, head_layers_, true, random, true);
    predictor_ = MlpHead(head_out_, predictor_hidden_, head_out_, 2, true, random);
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    Tensor z[2], p[2];  // (B, head_out)
    for (int v = 0; const Tensor& view : split_views(batch.views[0], 2)) {
      z[v] = projector_(encoder_->forward(view, true), true);
      p[v] = predictor_(z[v], true);
      ++v;
    }
    // −½ cos(p₁, z₂) − ½ cos(p₂, z₁) + 1, for cosine_loss is 2 − 2 cos.
    const Tensor both = add(cosine_loss(p[0], z[1].detach()), cosine_loss(p[1], z[0].detach()));
    return {scale(both, 0.25), z[0]};
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("projector", projector_);
    v("predictor", predictor_);
  }

 private:
  int64_t head_hidden_ = 2048, head_out_ = 2048, head_layers_ = 2, predictor_hidden_ = 512;
  MlpHead projector_, predictor_;
};

const RegisterMethod<Simsiam> simsiam("simsiam",
                                      "SimSiam (Chen and He 2021): predict the other view's projection, held still");

}  // namespace
}  // namespace gestalt
