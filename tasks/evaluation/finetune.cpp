// Supervised training of an encoder with a linear classifier on top.
#include "tasks/evaluation/finetune.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/data/images/subset.h"
#include "engine/nn/layers.h"

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

 private:
  Encoder& encoder_;
  Linear head_;
  int64_t classes_;
};

}  // namespace

void FinetuneOptions::fields(Fields& f) {
  f("epochs", epochs, "passes over the labelled images", between(1, 1e9));
  f("batch", batch, "images per step", between(1, 1 << 24));
  f("seed", seed, "of the order, the augmentation and the classifier; not of which labels are kept", any_number());
  f("labels", labels, "share of each class's training images to use, for example 0.01 or 0.1; the same for everyone",
    above_up_to(0, 1));
  f("crop-min", crop_min, "smallest random crop, as a share of the image's area; 1: no crop", above_up_to(0, 1));
  f("flip", flip, "probability of a horizontal flip", between(0, 1));
  f("label-smoothing", label_smoothing, "share of each target spread over all classes", under(1));
  f("layer-decay", layer_decay, "a ViT layer's learning rate as a fraction of that of the layer above; 1: equal",
    above_up_to(0, 1));
  optimizer.fields(f);
}

FinetuneOptions FinetuneOptions::of_bank(int64_t images) const {
  FinetuneOptions used = *this;
  used.batch = std::min(batch, images);
  return used;
}

std::string FinetuneOptions::protocol() const {
  return fmt::format(
      "fine-tuning of all layers, {} epochs, batch {}, {}, layer decay {}, {}, label smoothing {}, seed {}, centre "
      "view, "
      "last epoch",
      epochs, batch, schedule(), layer_decay, views(), label_smoothing, seed);
}

double layer_rate(const Encoder& encoder, const std::string& part, double decay) {
  const std::string prefix = "encoder.";
  if (!part.starts_with(prefix)) return 1;
  return std::pow(decay, encoder.layers() - encoder.layer_of(part.substr(prefix.size())));
}

double finetune_accuracy(Encoder& encoder, const std::shared_ptr<ImageSet>& train,
                         const std::shared_ptr<ImageSet>& test, const ViewOptions& view, const FinetuneOptions& options,
                         const EpochProgress& progress) {
  check(!train->labels().empty() && !test->labels().empty(), "[finetune] got images without labels");
  check_fields(FinetuneOptions(options));
  check(options.layer_decay == 1 || encoder.layers() > 0,
        "[finetune] got --layer-decay {} for an encoder that is no ViT; leave it at 1", options.layer_decay);
  const std::shared_ptr<ImageSet> images = subset(train, few_labels(train->labels(), options.labels));
  Random random(static_cast<uint64_t>(options.seed));
  Classifier classifier(encoder, static_cast<int64_t>(train->class_names().size()), random);
  train_classifier(classifier, images, view, options, progress,
                   [&](const std::string& part) { return layer_rate(encoder, part, options.layer_decay); });
  return classifier_accuracy(classifier, test, view);
}

}  // namespace gestalt
