// A linear classifier on a frozen encoder that sees new views each epoch.
#include "tasks/evaluation/linear_probe.h"

#include "engine/nn/layers.h"
#include "engine/ops/batch_norm.h"
#include "engine/tensor/autograd.h"

namespace gestalt {
namespace {

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

}  // namespace

double augmented_linear_accuracy(Encoder& encoder, const std::shared_ptr<ImageSet>& train,
                                 const std::shared_ptr<ImageSet>& test, const ViewOptions& view,
                                 const LinearOptions& options, const EpochProgress& progress) {
  check(!train->labels().empty() && !test->labels().empty(),
        "[linear] got images without labels; the probe needs them");
  move_to(encoder, view.device);
  const Moments moments = moments_of(extract_features(encoder, train, view).features);
  Random random(static_cast<uint64_t>(options.seed));
  LinearOnFrozen classifier(encoder, moments, static_cast<int64_t>(train->class_names().size()), random);
  ParameterArena arena(classifier, view.device, DType::f32);
  SupervisedOptions supervised{.epochs = options.epochs,
                               .batch = options.batch,
                               .seed = options.seed,
                               .crop_min = options.crop_min,
                               .flip = options.flip,
                               .optimizer = {.kind = "sgd", .rate = options.rate, .decay = options.decay}};
  train_classifier(classifier, arena, train, view, supervised, progress);
  return classifier_accuracy(classifier, test, view);
}

}  // namespace gestalt
