// SGD, LARS, AdamW and Muon as launches over the arena.
#include "engine/nn/optimizer.h"

#include <cmath>

namespace gestalt {

void OptimizerOptions::fields(Fields& f) {
  f.title("Optimizer");
  f("optimizer", kind, "sgd, lars, adamw, or muon: hidden matrices by Muon, the rest by adamw",
    {"sgd", "lars", "adamw", "muon"});
  f("lr", rate, "learning rate, for a batch of 256 unless --lr-scaling is none", at_least(0));
  f("lr-scaling", rate_scaling, "batch: the rate used is lr · batch / 256; none: it is lr", {"batch", "none"});
  f("momentum", momentum, "momentum of sgd and lars", under(1));
  f("weight-decay", decay, "weight decay; biases and norm parameters are exempt without --decay-all", at_least(0));
  f("weight-decay-end", decay_end, "weight decay at the end, where a cosine leads; -1: as --weight-decay",
    {.besides = -1});
  f("decay-all", decay_all, "biases and norm parameters decay too");
  f("trust", trust, "LARS's trust coefficient (η)", above(0));
  f("clip-local", clip_local, "LARS: keep the local rate at or under the global one");
  f("muon-momentum", muon_momentum, "momentum of muon's matrices", under(1));
  f("beta1", beta1, "adamw: decay of the first moment", under(1));
  f("beta2", beta2, "adamw: decay of the second moment", under(1));
  f("epsilon", epsilon, "adamw: added to the root of the second moment", at_least(0));
  f("clip", clip, "clip the gradient's norm to this; 0: off", at_least(0));
  f("clip-each", clip_each, "clip each tensor's gradient by itself instead of all together");
  f("skip-outliers", skip_outliers,
    "skip a step whose gradient norm lies so many standard deviations over the mean of the last 128; 0: off; waits for "
    "the device at each step",
    at_least(0));
  f("warmup-epochs", warmup_epochs, "epochs of linear warm-up before the cosine", between(0, 1e9));
  f("warmup-steps", warmup_steps, "steps of it, instead of epochs; 0: as --warmup-epochs says", between(0, 1e12));
  f("final-lr", final_rate, "where the cosine ends, as a fraction of the peak rate", at_least(0));
}

Schedule rate_schedule(const OptimizerOptions& options, int64_t batch, int64_t steps_per_epoch, int64_t total_steps) {
  const double peak = options.rate * (options.rate_scaling == "batch" ? static_cast<double>(batch) / 256 : 1);
  const int64_t warmup = options.warmup_steps > 0
                             ? options.warmup_steps
                             : std::llround(options.warmup_epochs * static_cast<double>(steps_per_epoch));
  return Schedule::cosine(peak, peak * options.final_rate, total_steps, warmup);
}

Schedule decay_schedule(const OptimizerOptions& options, int64_t total_steps) {
  if (options.decay_end < 0) return Schedule::constant(options.decay);
  return Schedule::cosine(options.decay, options.decay_end, total_steps);
}

Optimizer::Optimizer(ParameterArena& arena, const OptimizerOptions& options) : arena_(arena), options_(options) {
  const bool muon = options.kind == "muon";
  check(options.kind == "sgd" || options.kind == "lars" || options.kind == "adamw" || muon,
        "[optimizer] got kind '{}', expected sgd, lars, adamw or muon", options.kind);
  check(!muon || !options.clip_each,
        "[optimizer] got --clip-each with muon, which makes each matrix's update one size");
  check(options.kind != "lars" || options.trust > 0, "[optimizer] got --trust {}, expected more than 0", options.trust);
  check(!options.clip_each || options.clip > 0, "[optimizer] got --clip-each and --clip {}, expected more than 0",
        options.clip);
  const Device device = arena.weights.device();
  first_ = Tensor::zeros({arena.size()}, DType::f32, device);
  if (options.kind == "adamw" || muon) second_ = Tensor::zeros({arena.size()}, DType::f32, device);
  squared_norm_ = Tensor::zeros({2}, DType::f64).to(device);
  if (options.kind == "lars" || options.clip_each)
    norms_ = Tensor::zeros({2 * static_cast<int64_t>(arena.layout.size())}, DType::f64).to(device);
  if (options.decay_all) arena.decay_all();
  if (options.skip_outliers > 0) outliers_.emplace(options.skip_outliers);
  if (muon) muon_.emplace(arena, options.muon_momentum, options.clip);
}

void Optimizer::step(double rate, double decay) {
  begin_step(rate, decay);
  update();
}

void Optimizer::begin_step(double rate, double decay) {
  kernels::UpdateNumbers numbers{.rate = static_cast<float>(rate), .decay = static_cast<float>(decay), .step = steps};
  ++steps;
  if (second_) {
    const kernels::BiasCorrection correct =
        kernels::bias_correction(static_cast<float>(options_.beta1), static_cast<float>(options_.beta2), steps);
    numbers.correct1 = correct.first;
    numbers.correct2 = correct.second;
  }
  numbers_.set(numbers, arena_.weights.device());
}

void Optimizer::measure() {
  kernels::launch(kernels::GradNorm{arena_.grads.in(), squared_norm_.out(), arena_.size()}, arena_.weights.stream());
}

bool Optimizer::admits() {
  if (!outliers_) return true;
  measure();
  if (outliers_->usual(gradient_norm())) return true;
  arena_.zero_grads();
  return false;
}

void Optimizer::update() {
  const Stream stream = arena_.weights.stream();
  const auto* segments = reinterpret_cast<const kernels::Segment*>(arena_.segments.data<uint8_t>());
  const auto count = static_cast<int64_t>(arena_.layout.size());
  const auto f = [](double v) { return static_cast<float>(v); };
  measure();
  if (norms_) {
    const In weights = options_.kind == "lars" ? arena_.weights.in() : In{};
    kernels::launch(kernels::SegmentNorms{.weights = weights,
                                          .grads = arena_.grads.in(),
                                          .segments = segments,
                                          .segment_count = count,
                                          .count = arena_.size(),
                                          .norms = norms_.out()},
                    stream);
  }
  if (muon_) muon_->update(first_, squared_norm_, numbers_.get());
  if (second_) {
    kernels::launch(kernels::AdamwStep{.weights = arena_.weights.out(),
                                       .first = first_.out(),
                                       .second = second_.out(),
                                       .shadows = arena_.shadows.out(),
                                       .grads = arena_.grads.in(),
                                       .squared_norm = squared_norm_.in(),
                                       .norms = norms_.in(),
                                       .segments = segments,
                                       .segment_count = count,
                                       .count = arena_.size(),
                                       .numbers = numbers_.get(),
                                       .beta1 = f(options_.beta1),
                                       .beta2 = f(options_.beta2),
                                       .epsilon = f(options_.epsilon),
                                       .max_norm = f(options_.clip),
                                       .clip_each = options_.clip_each},
                    stream);
  } else {
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
                                     .max_norm = f(options_.clip),
                                     .clip_each = options_.clip_each,
                                     .trust = options_.kind == "lars" ? f(options_.trust) : 0,
                                     .clip_local = options_.clip_local},
                    stream);
  }
  arena_.zero_grads();
}

double Optimizer::gradient_norm() const { return std::sqrt(squared_norm_.values64()[0]); }

std::vector<std::pair<std::string, Tensor>> Optimizer::state() {
  std::vector<std::pair<std::string, Tensor>> all{{"first_moment", first_}};
  if (second_) all.push_back({"second_moment", second_});
  if (outliers_) all.push_back({"norms", outliers_->state()});
  return all;
}

}  // namespace gestalt
