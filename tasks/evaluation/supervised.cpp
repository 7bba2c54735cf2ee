// Supervised training as a method, and its measure.
#include "tasks/evaluation/supervised.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/data/images/view_feed.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/pointwise.h"
#include "tasks/training/training.h"

namespace gestalt {
namespace {

// The classifier is built and its data is open; nothing is exported.
class Supervised : public Method {
 public:
  Supervised(Encoder& classifier, const RateOf& rate_of, double label_smoothing)
      : classifier_(classifier), rate_of_(rate_of), label_smoothing_(label_smoothing) {}

  Modality modality() const override { return Modality::images; }
  Wants wants() const override { return {.labels = true}; }
  std::unique_ptr<Feed> open() override { return nullptr; }
  void build(Random&) override {}
  Loss loss(const Batch& batch, const StepInfo&) override {
    const Tensor logits = classifier_.forward(batch.views[0], true);
    return {cross_entropy(logits, batch.labels, {.label_smoothing = label_smoothing_}), {}};
  }
  PartFactors factors(const std::string& part, const Plan&) const override {
    return {.rate = rate_of_ ? rate_of_(part) : 1};
  }
  std::string export_to(const std::string&) override { return {}; }
  void visit(Visitor& v) override { classifier_.visit(v); }

 private:
  Encoder& classifier_;
  const RateOf& rate_of_;
  double label_smoothing_;
};

// The losses stay on the device until the epoch ends.
double mean_of_epoch(Training& training, Device device) {
  Tensor total = Tensor::zeros({1}, DType::f32, device);
  for (int64_t step = 0; step < training.steps_per_epoch(); ++step) total = add(total, training.step()[0][0].second);
  return total.item() / static_cast<double>(training.steps_per_epoch());
}

}  // namespace

AugmentOptions SupervisedOptions::augmentation(const std::string& normalisation) const {
  return {.crop_min = crop_min, .flip = flip, .jitter = 0, .grayscale = 0, .normalise = normalisation};
}

std::string SupervisedOptions::views() const {
  return crop_min == 1 && flip == 0 ? "no augmentation" : fmt::format("crops from {}, flip {}", crop_min, flip);
}

std::string SupervisedOptions::schedule() const {
  const OptimizerOptions& o = optimizer;
  const std::string warmup = o.warmup_steps > 0 ? fmt::format("{} warm-up steps", o.warmup_steps)
                                                : fmt::format("{} warm-up epochs", o.warmup_epochs);
  return fmt::format("{} lr {}{} cosine, {}, weight decay {}", o.kind, o.rate,
                     o.rate_scaling == "batch" ? " · batch / 256" : "", warmup, o.decay);
}

void train_classifier(Encoder& classifier, Feed& feed, Device device, DType dtype, const SupervisedOptions& options,
                      const EpochProgress& progress, const RateOf& rate_of) {
  check(options.epochs >= 1, "[supervised] got --epochs {}, expected 1 or more", options.epochs);
  Supervised method(classifier, rate_of, options.label_smoothing);
  method.run.batch = feed.items_per_step();
  method.run.epochs = options.epochs;
  method.run.device = name(device);
  method.run.dtype = name(dtype);
  method.optimizer = options.optimizer;
  PhaseClock clock;
  Training training(method, feed, clock);
  for (int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    const double mean = mean_of_epoch(training, device);
    check(std::isfinite(mean), "[supervised] the loss is {} in epoch {}; try a smaller --lr", mean, epoch);
    if (progress) progress(epoch, mean);
  }
}

void train_classifier(Encoder& classifier, const std::shared_ptr<ImageSet>& images, const ViewOptions& view,
                      const SupervisedOptions& options, const EpochProgress& progress, const RateOf& rate_of) {
  check(options.batch >= 1, "[supervised] got --batch {}, expected 1 or more", options.batch);
  const LoaderOptions loader{.batch = std::min(options.batch, images->size()),
                             .seed = static_cast<uint64_t>(options.seed)};
  const ViewGroup group{{options.augmentation(view.normalisation).parameters()}, view.size};
  ViewFeed feed(images, loader, {.groups = {group}, .view_dtype = view.dtype, .labels = true}, view.device);
  train_classifier(classifier, feed, view.device, view.dtype, options, progress, rate_of);
}

double classifier_accuracy(Encoder& classifier, const std::shared_ptr<ImageSet>& test, const ViewOptions& view) {
  const Features logits = extract_features(classifier, test, view, "the classifier's logits; try a smaller --lr");
  return percent_right(largest_columns(logits.features), logits.labels);
}

}  // namespace gestalt
