// Supervised training of an encoder with a linear classifier on top.
#include "tasks/finetune.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/augment.h"
#include "engine/data/loader.h"
#include "engine/data/subset.h"
#include "engine/layers.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/pointwise.h"
#include "engine/optimizer.h"

namespace gestalt {
namespace {

// Logits as the features of an encoder, so that they are extracted as features are.
class Classifier : public Encoder {
 public:
  Classifier(Encoder& encoder, int64_t classes, Random& random)
      : encoder_(encoder), head_(encoder.features(), classes, random), classes_(classes) {
    head_.weight = random.truncated_normal({classes, encoder.features()}, 2e-5).require_grad();  // MAE's fine-tuning
    head_.bias = Tensor::zeros({classes}).require_grad();
  }
  Tensor forward(const Tensor& images, bool training) override { return head_(encoder_.forward(images, training)); }
  int64_t features() const override { return classes_; }
  void visit(Visitor& v) override {
    v("encoder", encoder_);
    v("head", head_);
  }
  // The factor on the learning rate of a part of this module (Clark et al. 2020, §3.4.1).
  double rate_scale(const std::string& part, double decay) const {
    const std::string prefix = "encoder.";
    if (!part.starts_with(prefix)) return 1;
    return std::pow(decay, encoder_.layers() - encoder_.layer_of(part.substr(prefix.size())));
  }

 private:
  Encoder& encoder_;
  Linear head_;
  int64_t classes_;
};

AugmentOptions views_of(const FinetuneOptions& options, const ViewOptions& view) {
  return {
      .crop_min = options.crop_min, .flip = options.flip, .jitter = 0, .grayscale = 0, .normalise = view.normalisation};
}

double percent_right(Classifier& classifier, const std::shared_ptr<ImageSet>& test, const ViewOptions& view) {
  const Features logits = extract_features(classifier, test, view);
  const int64_t classes = logits.features.dim(1);
  const float* row = logits.features.data<float>();
  int64_t right = 0;
  for (int32_t label : logits.labels) {
    right += std::max_element(row, row + classes) - row == label;
    row += classes;
  }
  return 100.0 * static_cast<double>(right) / static_cast<double>(logits.labels.size());
}

}  // namespace

void FinetuneOptions::fields(Fields& f) {
  f("epochs", epochs, "passes over the labelled images");
  f("batch", batch, "images per step");
  f("seed", seed, "of the order, the augmentation and the classifier; not of which labels are kept");
  f("labels", labels, "share of each class's training images to use, for example 0.01 or 0.1; the same for everyone");
  f("crop-min", crop_min, "smallest random crop, as a share of the image's area; 1: no crop");
  f("flip", flip, "probability of a horizontal flip");
  f("label-smoothing", label_smoothing, "share of each target spread over all classes");
  f("layer-decay", layer_decay, "a ViT layer's learning rate as a fraction of that of the layer above; 1: equal");
  optimizer.fields(f);
}

std::string FinetuneOptions::protocol() const {
  return fmt::format(
      "fine-tuning of all layers, {} % of the labels, {} epochs, batch {}, {} lr {} · batch / 256 cosine, "
      "{} warm-up epochs, weight decay {}, layer decay {}, crops from {}, flip {}, label smoothing {}, "
      "seed {}, centre view, last epoch",
      100 * labels, epochs, batch, optimizer.kind, optimizer.rate, optimizer.warmup_epochs, optimizer.decay,
      layer_decay, crop_min, flip, label_smoothing, seed);
}

double finetune_accuracy(Encoder& encoder, const std::shared_ptr<ImageSet>& train,
                         const std::shared_ptr<ImageSet>& test, const ViewOptions& view, const FinetuneOptions& options,
                         const FinetuneProgress& progress) {
  check(!train->labels().empty() && !test->labels().empty(), "[finetune] got images without labels");
  check(options.layer_decay > 0 && options.layer_decay <= 1, "[finetune] got --layer-decay {}, expected one in (0, 1]",
        options.layer_decay);
  const std::shared_ptr<ImageSet> images = subset(train, few_labels(train->labels(), options.labels));
  const auto seed = static_cast<uint64_t>(options.seed);
  Random random(seed);
  Classifier classifier(encoder, static_cast<int64_t>(train->class_names().size()), random);
  ParameterArena arena(classifier, view.device, view.dtype);
  arena.scale_rates([&](const std::string& part) { return classifier.rate_scale(part, options.layer_decay); });
  Optimizer optimizer(arena, options.optimizer);

  const int64_t batch = std::min(options.batch, images->size());
  Loader loader(images, {.batch = batch, .seed = seed});
  const int64_t steps = loader.steps_per_epoch();
  const Schedule schedule{options.optimizer.rate * static_cast<double>(batch) / 256, options.optimizer.final_rate,
                          std::llround(options.optimizer.warmup_epochs * static_cast<double>(steps)),
                          options.epochs * steps};
  const kernels::AugmentParameters parameters = views_of(options, view).parameters();
  Tensor resident = images->resident() ? images->pixels().to(view.device) : Tensor();
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
      optimizer.step(schedule.at(step));
      total = add(total, loss.detach());
    }
    const double mean = total.item() / static_cast<double>(steps);
    check(std::isfinite(mean), "[finetune] the loss is {} in epoch {}; try a smaller --lr or --clip 1", mean,
          epoch + 1);
    if (progress) progress(epoch + 1, mean);
  }
  return percent_right(classifier, test, view);
}

}  // namespace gestalt
