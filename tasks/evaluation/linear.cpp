// Linear classifiers on frozen features: cached ones, or those of new views each epoch.
#include "tasks/evaluation/linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/data/images/loader.h"
#include "engine/nn/layers.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"

namespace gestalt {
namespace {

Tensor standardise(const Tensor& features, const Moments& m) {
  const int64_t rows = features.dim(0), columns = features.dim(1);
  std::vector<double> inverse(m.variance);
  for (double& v : inverse) v = 1 / std::sqrt(v + 1e-12);
  const Tensor host = features.to(Device::cpu);
  Tensor out = Tensor::empty(features.shape());
  const float* from = host.data<float>();
  float* to = out.data<float>();
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      to[i * columns + j] = static_cast<float>((from[i * columns + j] - m.mean[j]) * inverse[j]);
  return out;
}

// Rows of cached features in a new order each epoch, in the place of views.
class FeatureFeed : public Feed {
 public:
  FeatureFeed(Tensor rows, const std::vector<int32_t>& labels, int64_t batch, uint64_t seed)
      : rows_(std::move(rows)), labels_(labels), batch_(batch), seed_(seed) {}

  Batch at(int64_t step, PhaseClock& clock) override {
    clock.enter(Phase::data);
    const int64_t epoch = step / steps_per_epoch(), first = step % steps_per_epoch() * batch_;
    if (epoch != epoch_) order_ = epoch_order(rows_.dim(0), seed_, epoch);
    epoch_ = epoch;
    const std::vector<int32_t> picks(order_.begin() + first, order_.begin() + first + batch_);
    std::vector<int32_t> labels(picks.size());
    for (size_t i = 0; i < picks.size(); ++i) labels[i] = labels_[picks[i]];
    Batch batch;
    batch.views = {embedding(rows_, Tensor::from(picks, {batch_}).to(rows_.device()))};
    batch.labels = Tensor::from(labels, {batch_}).to(rows_.device());
    return batch;
  }
  int64_t steps_per_epoch() const override { return rows_.dim(0) / batch_; }
  int64_t items_per_step() const override { return batch_; }
  std::string item() const override { return "features"; }
  std::string describe() const override { return fmt::format("{} cached features", rows_.dim(0)); }

 private:
  Tensor rows_;  // (N, D)
  const std::vector<int32_t>& labels_;
  int64_t batch_, epoch_ = -1;
  uint64_t seed_;
  std::vector<int32_t> order_;
};

// Logits of features that are there already; begins at zero.
class LinearClassifier : public Encoder {
 public:
  LinearClassifier(int64_t columns, int64_t classes, Random& random)
      : head_(columns, classes, random), classes_(classes) {
    head_.weight.fill(0);
    head_.bias.fill(0);
  }
  Tensor forward(const Tensor& features, bool) override { return head_(features); }
  int64_t features() const override { return classes_; }
  void visit(Visitor& v) override { v("head", head_); }

 private:
  Linear head_;
  int64_t classes_;
};

// The encoder is not among the parts, so nothing trains it.
class LinearOnFrozen : public Encoder {
 public:
  LinearOnFrozen(Encoder& encoder, const Moments& moments, int64_t classes, Random& random)
      : encoder_(encoder), head_(encoder.features(), classes, random), classes_(classes) {
    const int64_t columns = encoder.features();
    head_.weight.fill(0);
    head_.bias.fill(0);
    mean_ = Tensor::from(moments.mean, {columns}).to(DType::f32);
    variance_ = Tensor::from(moments.variance, {columns}).to(DType::f32);
    one_ = Tensor::full({columns}, 1);
    zero_ = Tensor::zeros({columns});
  }
  Tensor forward(const Tensor& images, bool) override { return head_(standardised(images)); }
  int64_t features() const override { return classes_; }
  void visit(Visitor& v) override {
    v("head", head_);
    v.state("mean", mean_);
    v.state("variance", variance_);
    v.state("one", one_);
    v.state("zero", zero_);
  }

 private:
  Tensor standardised(const Tensor& images) {
    const NoGrad no_grad;
    const Tensor x = encoder_.forward(images, false).to(DType::f32);
    return batch_norm(x, one_, zero_, mean_, variance_, {.eps = 1e-8, .training = false});
  }

  Encoder& encoder_;
  Linear head_;
  Tensor mean_, variance_, one_, zero_;  // (features)
  int64_t classes_;
};

SupervisedOptions supervised(const LinearOptions& options) {
  return {.epochs = options.epochs,
          .batch = options.batch,
          .seed = options.seed,
          .crop_min = options.crop_min,
          .flip = options.flip,
          .optimizer = {.kind = "sgd", .rate = options.rate, .decay = options.decay}};
}

}  // namespace

void LinearOptions::fields(Fields& f) {
  f("epochs", epochs, "passes over the training features", between(1, 1e9));
  f("batch", batch, "features per step", between(1, 1 << 24));
  f("lr", rate, "learning rate for a batch of 256; the rate used is lr · batch / 256", at_least(0));
  f("weight-decay", decay, "weight decay", at_least(0));
  f("seed", seed, "of the order and, with --augment, of the views", any_number());
  f("augment", augment,
    "new random crops and flips each epoch, as the papers train it; slow: all is encoded each time");
  f("crop-min", crop_min, "with --augment: smallest random crop, as a share of the image's area", above_up_to(0, 1));
  f("flip", flip, "with --augment: probability of a horizontal flip", between(0, 1));
}

LinearOptions LinearOptions::of_bank(int64_t images) const {
  LinearOptions used = *this;
  used.batch = std::min(batch, images);
  return used;
}

std::string LinearOptions::protocol() const {
  const std::string views =
      augment ? fmt::format("random views (crops from {}, flip {}), tested on the centre view", crop_min, flip)
              : "the centre view";
  return fmt::format(
      "linear probe, offline, frozen standardised features of {}, SGD momentum 0.9, lr {} · batch / "
      "256, batch {}, {} epochs cosine, weight decay {}, last epoch",
      views, rate, batch, epochs, decay);
}

double linear_accuracy(const Features& train, const Features& test, int64_t classes, const LinearOptions& options,
                       Device device) {
  check(!train.labels.empty() && !test.labels.empty(), "[linear] got images without labels; the probe needs them");
  check_fields(LinearOptions(options));
  check_finite_features(train.features, "the features of the training images");
  check_finite_features(test.features, "the features of the test images");
  const int64_t rows = train.features.dim(0);
  const Moments moments = moments_of(train.features);
  const auto seed = static_cast<uint64_t>(options.seed);
  FeatureFeed feed(standardise(train.features, moments).to(device), train.labels, std::min(options.batch, rows), seed);
  Random random(seed);
  LinearClassifier classifier(train.features.dim(1), classes, random);
  train_classifier(classifier, feed, device, DType::f32, supervised(options));
  const NoGrad no_grad;
  return percent_right(largest_columns(classifier.forward(standardise(test.features, moments).to(device), false)),
                       test.labels);
}

double augmented_linear_accuracy(Encoder& encoder, const std::shared_ptr<ImageSet>& train,
                                 const std::shared_ptr<ImageSet>& test, const ViewOptions& view,
                                 const LinearOptions& options, const EpochProgress& progress) {
  check(!train->labels().empty() && !test->labels().empty(),
        "[linear] got images without labels; the probe needs them");
  check_fields(LinearOptions(options));
  move_to(encoder, view.device);
  const Moments moments = moments_of(extract_features(encoder, train, view).features);
  Random random(static_cast<uint64_t>(options.seed));
  LinearOnFrozen classifier(encoder, moments, static_cast<int64_t>(train->class_names().size()), random);
  train_classifier(classifier, train, view, supervised(options), progress);
  return classifier_accuracy(classifier, test, view);
}

}  // namespace gestalt
