// SimSiam: two views, an encoder, a projector, a predictor, and a target without gradient.
#include "tasks/simsiam.h"

#include "engine/ops/contrast.h"
#include "engine/ops/pointwise.h"

namespace gestalt {

Simsiam::Simsiam() {
  run.batch = 256;
  optimizer.kind = "sgd";
  optimizer.rate = 0.03;
}

void Simsiam::fields(Fields& f) {
  ImageTask::fields(f);
  f.title("SimSiam");
  f("head-hidden", head_hidden, "width of the projector's hidden layers");
  f("head-out", head_out, "width of the projection");
  f("head-layers", head_layers, "linear layers of the projector: 2 for CIFAR-10, 3 for ImageNet");
  f("predictor-hidden", predictor_hidden, "width of the predictor's hidden layer");
}

void Simsiam::build_heads(Random& random) {
  projector_ = MlpHead(encoder_->features(), head_hidden, head_out, head_layers, true, random, true);
  predictor_ = MlpHead(head_out, predictor_hidden, head_out, 2, true, random);
}

LossOutput Simsiam::loss(const Inputs& inputs, const StepInfo&) {
  const std::array<Tensor, 2> view = two_views(inputs);
  std::array<Tensor, 2> z, p;  // (B, head_out)
  for (size_t v = 0; v < 2; ++v) {
    z[v] = projector_(encoder_->forward(view[v], true), true);
    p[v] = predictor_(z[v], true);
  }
  // −½ cos(p₁, z₂) − ½ cos(p₂, z₁) + 1, for cosine_loss is 2 − 2 cos.
  const Tensor both = add(cosine_loss(p[0], z[1].detach()), cosine_loss(p[1], z[0].detach()));
  return {scale(both, 0.25), z[0].detach()};
}

void Simsiam::visit(Visitor& v) {
  ImageTask::visit(v);
  v("projector", projector_);
  v("predictor", predictor_);
}

namespace {

const RegisterTask simsiam(
    {"simsiam",
     "SimSiam (Chen and He 2021): predict the other view's projection, held still",
     [] { return std::unique_ptr<Task>(std::make_unique<Simsiam>()); },
     {{"tiny", "seconds on any machine, for trying things out",
       R"({"data": "shapes:192", "model": "resnet10", "width": 8, "batch": 32, "epochs": 3, "lr": 0.5,
           "head-hidden": 64, "head-out": 64, "predictor-hidden": 32, "probe-every": 0})"},
      {"simsiam-cifar10",
       "batch 512, 800 epochs, SGD lr 0.03·batch/256, weight decay 5e-4, projector 2048-2048, predictor 512, no blur "
       "(appendix D of the paper, which reports 91.8 linear with ResNet-18)",
       R"({"data": "cifar10:cifar-10-batches-bin",
           "model": "resnet18", "stem": "cifar", "width": 64, "batch": 512, "epochs": 800, "optimizer": "sgd",
           "lr": 0.03, "momentum": 0.9, "weight-decay": 5e-4, "warmup-epochs": 0, "head-hidden": 2048,
           "head-out": 2048, "head-layers": 2, "predictor-hidden": 512, "crop-min": 0.2, "crop-max": 1.0,
           "jitter": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "grayscale": 0.2,
           "blur": 0.0, "normalise": "cifar10"})"}}});

}  // namespace

}  // namespace gestalt
