// The loop of supervised training, and its measure.
#include "tasks/evaluation/supervised.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/data/images/loader.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/pointwise.h"

namespace gestalt {

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

void train_classifier(Encoder& classifier, ParameterArena& arena, const std::shared_ptr<ImageSet>& images,
                      const ViewOptions& view, const SupervisedOptions& options, const EpochProgress& progress) {
  check(options.epochs >= 1 && options.batch >= 1, "[supervised] got --epochs {} and --batch {}, expected 1 or more",
        options.epochs, options.batch);
  const auto seed = static_cast<uint64_t>(options.seed);
  const int64_t batch = std::min(options.batch, images->size());
  Loader loader(images, {.batch = batch, .seed = seed});
  Optimizer optimizer(arena, options.optimizer);
  const int64_t steps = loader.steps_per_epoch();
  const Schedule rate = rate_schedule(options.optimizer, batch, steps, options.epochs * steps);
  const Schedule decay = decay_schedule(options.optimizer, options.epochs * steps);
  const kernels::AugmentParameters parameters = options.augmentation(view.normalisation).parameters();
  const Tensor resident = images->resident() ? images->pixels().to(view.device) : Tensor();
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    Tensor total = Tensor::zeros({1}, DType::f32, view.device);
    for (int64_t step = epoch * steps; step < (epoch + 1) * steps; ++step) {
      const ImageBatch drawn = loader.next();
      const Tensor pixels = resident ? resident : drawn.pixels.to(view.device);
      const Tensor x = augment(pixels, drawn.frames, drawn.samples, {&parameters, 1}, view.size, seed,
                               static_cast<uint64_t>(step), view.dtype);
      const Tensor targets = Tensor::from(drawn.labels, {batch}).to(view.device);
      const Tensor loss =
          cross_entropy(classifier.forward(x, true), targets, {.label_smoothing = options.label_smoothing});
      loss.backward();
      optimizer.step(rate.at(step), decay.at(step));
      total = add(total, loss.detach());
    }
    const double mean = total.item() / static_cast<double>(steps);
    check(std::isfinite(mean), "[supervised] the loss is {} in epoch {}; try a smaller --lr", mean, epoch + 1);
    if (progress) progress(epoch + 1, mean);
  }
}

double classifier_accuracy(Encoder& classifier, const std::shared_ptr<ImageSet>& test, const ViewOptions& view) {
  const Features logits = extract_features(classifier, test, view);
  const int64_t classes = logits.features.dim(1);
  const Tensor host = logits.features.to(Device::cpu);
  const float* row = host.data<float>();
  int64_t right = 0;
  for (int32_t label : logits.labels) {
    right += std::max_element(row, row + classes) - row == label;
    row += classes;
  }
  return 100.0 * static_cast<double>(right) / static_cast<double>(logits.labels.size());
}

}  // namespace gestalt
