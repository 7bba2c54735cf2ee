// SGD, LARS and AdamW as launches over the arena.
#include "engine/nn/optimizer.h"

#include <cmath>
#include <numbers>

namespace gestalt {

void OptimizerOptions::fields(Fields& f) {
  f.title("Optimizer");
  f("optimizer", kind, "sgd, lars or adamw", {"sgd", "lars", "adamw"});
  f("lr", rate, "learning rate, for a batch of 256 unless --lr-scaling is none");
  f("lr-scaling", rate_scaling, "batch: the rate used is lr · batch / 256; none: it is lr", {"batch", "none"});
  f("momentum", momentum, "momentum of sgd and lars");
  f("weight-decay", decay, "weight decay; biases and norm parameters are exempt");
  f("trust", trust, "LARS's trust coefficient (η)");
  f("clip-local", clip_local, "LARS: keep the local rate at or under the global one");
  f("beta1", beta1, "adamw: decay of the first moment");
  f("beta2", beta2, "adamw: decay of the second moment");
  f("epsilon", epsilon, "adamw: added to the root of the second moment");
  f("clip", clip, "clip the gradient's norm to this; 0: off");
  f("warmup-epochs", warmup_epochs, "epochs of linear warm-up before the cosine");
  f("warmup-steps", warmup_steps, "steps of it, instead of epochs; 0: as --warmup-epochs says");
  f("final-lr", final_rate, "where the cosine ends, as a fraction of the peak rate");
}

double Schedule::at(int64_t step) const {
  if (step < warmup_steps) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  const double span = static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps));
  const double t = std::min(1.0, static_cast<double>(step - warmup_steps) / span);
  return peak * (final_fraction + (1 - final_fraction) * 0.5 * (1 + std::cos(std::numbers::pi * t)));
}

Schedule schedule_of(const OptimizerOptions& options, int64_t batch, int64_t steps_per_epoch, int64_t total_steps) {
  const double factor = options.rate_scaling == "batch" ? static_cast<double>(batch) / 256 : 1;
  const int64_t warmup = options.warmup_steps > 0
                             ? options.warmup_steps
                             : std::llround(options.warmup_epochs * static_cast<double>(steps_per_epoch));
  return {options.rate * factor, options.final_rate, warmup, total_steps};
}

Optimizer::Optimizer(ParameterArena& arena, const OptimizerOptions& options) : arena_(arena), options_(options) {
  const Device device = arena.weights.device();
  first_ = Tensor::zeros({arena.size()}, DType::f32, device);
  if (options.kind == "adamw") second_ = Tensor::zeros({arena.size()}, DType::f32, device);
  squared_norm_ = Tensor::zeros({2}, DType::f64).to(device);
  if (options.kind == "lars")
    norms_ = Tensor::zeros({2 * static_cast<int64_t>(arena.layout.size())}, DType::f64).to(device);
  check(options.kind == "sgd" || options.kind == "lars" || options.kind == "adamw",
        "[optimizer] got kind '{}', expected sgd, lars or adamw", options.kind);
}

void Optimizer::step(double rate) {
  begin_step(rate);
  update();
}

void Optimizer::begin_step(double rate) {
  ++steps;
  const auto decayed = [&](double beta) { return std::pow(static_cast<double>(static_cast<float>(beta)), steps); };
  kernels::UpdateNumbers numbers{static_cast<float>(rate)};
  if (options_.kind == "adamw") {
    numbers.correct1 = static_cast<float>(1 / (1 - decayed(options_.beta1)));
    numbers.correct2 = static_cast<float>(1 / std::sqrt(1 - decayed(options_.beta2)));
  }
  numbers_.set(numbers, arena_.weights.device());
}

void Optimizer::update() {
  const Stream stream = arena_.weights.stream();
  const auto* segments = reinterpret_cast<const kernels::Segment*>(arena_.segments.data<uint8_t>());
  const auto count = static_cast<int64_t>(arena_.layout.size());
  const auto f = [](double v) { return static_cast<float>(v); };
  kernels::launch(kernels::GradNorm{arena_.grads.in(), squared_norm_.out(), arena_.size()}, stream);
  if (options_.kind == "adamw") {
    kernels::launch(kernels::AdamwStep{.weights = arena_.weights.out(),
                                       .first = first_.out(),
                                       .second = second_.out(),
                                       .shadows = arena_.shadows.out(),
                                       .grads = arena_.grads.in(),
                                       .squared_norm = squared_norm_.in(),
                                       .segments = segments,
                                       .segment_count = count,
                                       .count = arena_.size(),
                                       .numbers = numbers_.get(),
                                       .beta1 = f(options_.beta1),
                                       .beta2 = f(options_.beta2),
                                       .epsilon = f(options_.epsilon),
                                       .decay = f(options_.decay),
                                       .max_norm = f(options_.clip)},
                    stream);
  } else {
    if (norms_)
      kernels::launch(kernels::SegmentNorms{.weights = arena_.weights.in(),
                                            .grads = arena_.grads.in(),
                                            .segments = segments,
                                            .segment_count = count,
                                            .count = arena_.size(),
                                            .norms = norms_.out()},
                      stream);
    kernels::launch(kernels::SgdStep{.weights = arena_.weights.out(),
                                     .moments = first_.out(),
                                     .shadows = arena_.shadows.out(),
                                     .grads = arena_.grads.in(),
                                     .squared_norm = squared_norm_.in(),
                                     .norms = norms_.in(),
                                     .segments = segments,
                                     .segment_count = count,
                                     .count = arena_.size(),
                                     .numbers = numbers_.get(),
                                     .momentum = f(options_.momentum),
                                     .decay = f(options_.decay),
                                     .max_norm = f(options_.clip),
                                     .trust = f(options_.trust),
                                     .clip_local = options_.clip_local},
                    stream);
  }
  arena_.zero_grads();
}

double Optimizer::gradient_norm() const { return std::sqrt(squared_norm_.values64()[0]); }

std::vector<std::pair<std::string, Tensor>> Optimizer::state() {
  std::vector<std::pair<std::string, Tensor>> all{{"first_moment", first_}};
  if (second_) all.push_back({"second_moment", second_});
  return all;
}

}  // namespace gestalt
