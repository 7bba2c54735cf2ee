// SimCLR: two views, an encoder, a projection head and NT-Xent.
#include "tasks/simclr.h"

#include "engine/ops/contrast.h"

namespace gestalt {

Simclr::Simclr() {
  run.batch = 256;
  optimizer.kind = "sgd";
  optimizer.rate = 0.06;
  optimizer.warmup_epochs = 1;
}

void Simclr::fields(Fields& f) {
  ImageTask::fields(f);
  f.title("SimCLR");
  f("temperature", temperature, "softmax temperature of NT-Xent (τ)");
  f("head-hidden", head_hidden, "width of the projection head's hidden layers");
  f("head-out", head_out, "width of the projection");
  f("head-layers", head_layers, "linear layers of the projection head");
  f("head-norm", head_norm, "batch norm in the projection head");
}

void Simclr::build_heads(Random& random) {
  head_ = MlpHead(encoder_->features(), head_hidden, head_out, head_layers, head_norm, random);
}

LossOutput Simclr::loss(const Inputs& inputs, const StepInfo&) {
  const Tensor h = encoder_->forward(inputs.tensors[0], true);  // (2B, F)
  const Tensor z = head_(h, true);                              // (2B, head_out)
  return {nt_xent(z, temperature), h.detach()};
}

void Simclr::visit(Visitor& v) {
  ImageTask::visit(v);
  v("head", head_);
}

namespace {

const RegisterTask simclr(
    {"simclr",
     "SimCLR (Chen et al. 2020): two views of an image agree against all others, by NT-Xent",
     [] { return std::unique_ptr<Task>(std::make_unique<Simclr>()); },
     {{"tiny", "seconds on any machine, for trying things out",
       R"({"data": "shapes:192", "model": "resnet10", "width": 8, "batch": 32, "epochs": 3, "head-hidden": 32,
           "head-out": 16, "probe-every": 0})"},
      {"quickstart", "the built-in shapes in under three minutes on two cores",
       R"({"data": "shapes", "model": "resnet10", "width": 16, "batch": 256, "epochs": 20, "lr": 0.1,
           "warmup-epochs": 3, "temperature": 0.2, "head-hidden": 256, "head-out": 64, "crop-min": 0.3,
           "probe-every": 5})"},
      {"simclr-cifar10",
       "batch 512, 1,000 epochs, SGD lr 0.03·batch/256, head 512-1024-128 without batch norm, τ 0.5 "
       "(dkobak/simclr-cifar10, which reports 91.4 kNN and 91.9 linear with ResNet-18)",
       R"({"data": "cifar10:cifar-10-batches-bin",
           "model": "resnet18", "stem": "cifar", "width": 64, "batch": 512, "epochs": 1000, "optimizer": "sgd",
           "lr": 0.03, "momentum": 0.9, "weight-decay": 5e-4, "warmup-epochs": 0, "temperature": 0.5,
           "head-hidden": 1024, "head-out": 128, "head-layers": 2, "head-norm": false, "crop-min": 0.2,
           "crop-max": 1.0, "jitter": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1,
           "grayscale": 0.1, "blur": 0.0, "normalise": "none"})"},
      {"simclr-cifar10-lars",
       "batch 256, 1,000 epochs, LARS lr 0.4·batch/256, 10 warm-up epochs, head 512-2048-256, τ 0.2 (solo-learn, which "
       "reports 90.74 online linear with ResNet-18)",
       R"({"data": "cifar10:cifar-10-batches-bin",
           "model": "resnet18", "stem": "cifar", "width": 64, "batch": 256, "epochs": 1000, "optimizer": "lars",
           "lr": 0.4, "momentum": 0.9, "weight-decay": 1e-4, "trust": 0.02, "clip-local": true, "warmup-epochs": 10,
           "temperature": 0.2, "head-hidden": 2048, "head-out": 256, "head-layers": 2, "head-norm": false,
           "crop-min": 0.08, "crop-max": 1.0, "jitter": 0.8, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8,
           "hue": 0.2, "grayscale": 0.2, "blur": 0.5, "normalise": "cifar10"})"}}});

}  // namespace

}  // namespace gestalt
