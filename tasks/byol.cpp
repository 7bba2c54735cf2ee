// BYOL: two views, an online and a target network, a predictor, and a regression between directions.
#include "tasks/byol.h"

#include "engine/ops/contrast.h"
#include "engine/ops/pointwise.h"
#include "engine/tensor/autograd.h"

namespace gestalt {

Byol::Byol() {
  run.batch = 256;
  optimizer.kind = "sgd";
  optimizer.rate = 0.03;
  optimizer.decay = 2e-3;
}

void Byol::fields(Fields& f) {
  ImageTask::fields(f);
  f.title("BYOL");
  f("blur-second", blur_second, "probability of a blur in the second view; 'blur' is the first's");
  f("solarize-second", solarize_second, "probability of solarizing the second view; 'solarize' is the first's");
  f("tau", tau, "share of itself that the target keeps in a step, at the beginning (τ)");
  f("tau-end", tau_end, "the same at the end; a cosine leads there");
  f("head-hidden", head_hidden, "width of the projector's hidden layer");
  f("head-out", head_out, "width of the projection");
  f("predictor", use_predictor, "predict the target's projection; without this BYOL collapses");
  f("predictor-hidden", predictor_hidden, "width of the predictor's hidden layer");
}

std::vector<kernels::AugmentParameters> Byol::views() const {
  AugmentOptions second = augment;
  second.blur = blur_second;
  second.solarize = solarize_second;
  return {augment.parameters(), second.parameters()};
}

void Byol::use_encoders(std::unique_ptr<Encoder> online, std::unique_ptr<Encoder> target) {
  use_encoder(std::move(online));
  target_.encoder = std::move(target);
}

void Byol::build_heads(Random& random) {
  check(tau >= 0 && tau <= 1 && tau_end >= 0 && tau_end <= 1, "[byol] got --tau {} and --tau-end {}, expected 0 to 1",
        tau, tau_end);
  projector_ = MlpHead(encoder_->features(), head_hidden, head_out, 2, true, random);
  if (use_predictor) predictor_ = MlpHead(head_out, predictor_hidden, head_out, 2, true, random);
  if (!target_.encoder) target_.encoder = make_encoder(model, image_size, random);
  target_.projector = MlpHead(encoder_->features(), head_hidden, head_out, 2, true, random);
  copy_parts(*encoder_, *target_.encoder);
  copy_parts(projector_, target_.projector);
}

LossOutput Byol::loss(const Inputs& inputs, const StepInfo&) {
  const std::array<Tensor, 2> view = two_views(inputs);
  std::array<Tensor, 2> projection, prediction, target;  // (B, head_out)
  for (size_t v = 0; v < 2; ++v) {
    const NoGrad off;
    target[v] = target_.projector(target_.encoder->forward(view[v], true), true);
  }
  for (size_t v = 0; v < 2; ++v) {
    projection[v] = projector_(encoder_->forward(view[v], true), true);
    prediction[v] = use_predictor ? predictor_(projection[v], true) : projection[v];
  }
  return {add(cosine_loss(prediction[0], target[1]), cosine_loss(prediction[1], target[0])), projection[0].detach()};
}

void Byol::begin_step(const StepInfo& info) {
  momentum_.schedule = Schedule::cosine(tau, tau_end, info.total_steps);
  momentum_.begin_step(info.step, run.resolved_device());
}

void Byol::after_step(const StepInfo&, ParameterArena&) { teacher_.update(momentum_.now()); }

std::string Byol::collapse_cure() const {
  return use_predictor ? "try a lower --lr, a larger --batch, a --tau nearer to 1 or a wider --predictor-hidden"
                       : "BYOL needs its predictor: run without --no-predictor";
}

void Byol::Network::visit(Visitor& v) {
  v("encoder", *encoder);
  v("projector", projector);
}

// What has a target is named as it is there, so that the teacher finds it.
void Byol::visit(Visitor& v) {
  ImageTask::visit(v);
  v("projector", projector_);
  v("predictor", predictor_);
  v.state("target", target_);
}

namespace {

const RegisterTask byol(
    {"byol",
     "BYOL (Grill et al. 2020): predict what the network's own moving average says about another view",
     [] { return std::unique_ptr<Task>(std::make_unique<Byol>()); },
     {{"tiny", "seconds on any machine, for trying things out",
       R"({"data": "shapes:192", "model": "resnet10", "width": 8, "batch": 32, "epochs": 3, "lr": 0.2,
           "head-hidden": 64, "head-out": 32, "predictor-hidden": 64, "probe-every": 0})"},
      {"byol-cifar10",
       "batch 256, 1,000 epochs, LARS lr 1.0·batch/256, 10 warm-up epochs, heads 4096-256, τ 0.99 to 1, second view "
       "solarized (solo-learn, which reports 92.58 online linear with ResNet-18)",
       R"({"data": "cifar10:cifar-10-batches-bin",
           "model": "resnet18", "stem": "cifar", "width": 64, "batch": 256, "epochs": 1000, "optimizer": "lars",
           "lr": 1.0, "momentum": 0.9, "weight-decay": 1e-5, "trust": 0.02, "clip-local": true, "warmup-epochs": 10,
           "tau": 0.99, "tau-end": 1.0, "head-hidden": 4096, "head-out": 256, "predictor-hidden": 4096,
           "crop-min": 0.08, "crop-max": 1.0, "jitter": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.2,
           "hue": 0.1, "grayscale": 0.2, "blur": 0.0, "blur-second": 0.0, "solarize": 0.0, "solarize-second": 0.2,
           "normalise": "cifar10"})"},
      {"byol-cifar10-sgd",
       "batch 512, 800 epochs, SGD, heads 1024-256, τ 0.99 throughout (lightly, which reports 91.0 kNN with ResNet-18, "
       "best epoch on the test set; its lr 0.06·batch/128 and weight decay 5e-4 go with a loss of a quarter of BYOL's, "
       "which is lr 0.03·batch/256 and weight decay 2e-3 here)",
       R"({"data": "cifar10:cifar-10-batches-bin",
           "model": "resnet18", "stem": "cifar", "width": 64, "batch": 512, "epochs": 800, "optimizer": "sgd",
           "lr": 0.03, "momentum": 0.9, "weight-decay": 2e-3, "warmup-epochs": 0, "tau": 0.99, "tau-end": 0.99,
           "head-hidden": 1024, "head-out": 256, "predictor-hidden": 1024, "crop-min": 0.08, "crop-max": 1.0,
           "jitter": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "grayscale": 0.2,
           "blur": 0.0, "blur-second": 0.0, "solarize": 0.0, "solarize-second": 0.0, "normalise": "imagenet"})"}}});

}  // namespace

}  // namespace gestalt
