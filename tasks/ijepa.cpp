// I-JEPA: from some patches of an image, predict the features that a moving average gives blocks of others.
// Assran et al. 2023, "Self-supervised learning from images with a joint-embedding predictive architecture", section 3.
#include "engine/ops/block_mask.h"
#include "engine/ops/covariance.h"
#include "engine/ops/feature_loss.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/pool.h"
#include "engine/ops/rows.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "models/patch_predictor.h"
#include "models/vit.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// The published code draws the sizes of blocks for a batch and cuts its lists to the shortest. Here an image has its
// own, and lists have one length for the whole run (block_lengths), so that each step is the same device work.
class Ijepa : public ImageMethod {
 public:
  Ijepa() {
    run.batch = 256;
    model.model = "vit-tiny";
    model.vit.class_token = false;
    optimizer = {
        .kind = "adamw", .rate = 1.25e-4, .decay = 0.04, .decay_end = 0.4, .warmup_epochs = 15, .final_rate = 1e-3};
    augment.crop_min = 0.3;
    augment.flip = 0;
    augment.jitter = 0;
    augment.grayscale = 0;
  }

  void own_fields(Fields& f) override {
    f.title("I-JEPA");
    f("target-blocks", targets_, "blocks of patches that are predicted in each image",
      between(1, kernels::BlockSampling::most_blocks));
    block_fields(f, blocks_);
    predictor_options_.fields(f);
    f("teacher-momentum", momentum_, "share of itself that the target encoder keeps in a step, at the beginning",
      between(0, 1));
    f("teacher-momentum-end", momentum_end_, "the same at the end; a straight line leads there", between(0, 1));
  }

  std::vector<ViewGroup> views() const override { return {{{augment.parameters()}, image_size}}; }
  int64_t least_batch() const override { return 2; }  // terms and the collapse meter compare images

  void build_heads(Random& random) override {
    const auto* vit = dynamic_cast<const VisionTransformer*>(encoder_.get());
    check(vit && vit->first_patch() == 0,
          "[ijepa] got --model {}, expected a ViT without a class token; set --model vit-small and --no-class-token",
          model.model);
    teacher_ = new_encoder(random);
    copy_parts(*encoder_, *teacher_);
    predictor_ = PatchPredictor(predictor_options_, vit->features(), vit->side(), random);
    blocks_.rows = blocks_.columns = static_cast<int32_t>(vit->side());
    blocks_.blocks = static_cast<int32_t>(targets_);
    lengths_ = block_lengths(blocks_);
  }

  void plan(Plan& p) override {
    p.teacher(*teacher_, *encoder_, Schedule::linear(momentum_, momentum_end_, p.total_steps));
  }

  Loss loss(const Batch& batch, const StepInfo& info) override {
    const Tensor& images = batch.views[0];  // (B, S, S, 3)
    const DType dtype = run.resolved_dtype();
    const BlockLists lists = draw_blocks(batch.samples, blocks_, lengths_.kept, lengths_.picked,
                                         static_cast<uint64_t>(run.seed), info.batch);
    const Tensor features = target_features(images, dtype);  // (B, N, D)
    const Tensor context = vit(*encoder_).tokens(images, {lists.context, {}, {}}, dtype);
    const Tensor predictions = predictor_(context, lists.places);  // (B, blocks · M, D)
    const Tensor total = feature_loss(predictions, features, lists.targets);
    const NoGrad off;
    const Tensor targets = gather_rows(features, lists.targets);
    const Tensor rows = targets.reshape({targets.dim(0) * targets.dim(1), targets.dim(2)});
    return {total,
            global_average_pool(features),
            {{"mean_target", loss_of_mean(targets, features, lists.targets)},
             {"target_std",
              subtract(Tensor::full({1}, widest, DType::f32, rows.device()), variance_hinge(rows, widest, 1e-8))}}};
  }

  std::string collapse_cure() const override {
    return momentum_ < 0.9 ? "targets follow the encoder at once: set --teacher-momentum 0.996 or so"
                           : "try a lower --lr, a higher --teacher-momentum or a longer --warmup-epochs";
  }
  Encoder& encoder() override { return *teacher_; }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("predictor", predictor_);
    v.state("teacher", *teacher_);
  }

 private:
  static constexpr double widest = 4;  // features that left a layer norm deviate by 1 or so

  static VisionTransformer& vit(Encoder& encoder) { return static_cast<VisionTransformer&>(encoder); }

  Tensor target_features(const Tensor& images, DType dtype) const {
    const NoGrad off;
    return vit(*teacher_).tokens(images, dtype);
  }
  // What predicting the mean of the batch's normalised targets everywhere would cost.
  static Tensor loss_of_mean(const Tensor& targets, const Tensor& features, const Tensor& index) {
    const int64_t width = targets.dim(2);
    const DType accumulator = accumulator_of(targets.dtype());
    const auto row = [&](double value) { return Tensor::full({width}, value, accumulator, targets.device()); };
    const Tensor normalised = layer_norm(targets, row(1), row(0));
    const Tensor mean = global_average_pool(normalised.reshape({1, targets.dim(0) * targets.dim(1), width}));
    const Tensor nothing = Tensor::zeros(targets.shape(), targets.dtype(), targets.device());
    return feature_loss(add_row(nothing, mean.reshape({width}).to(accumulator)), features, index);
  }

  int64_t targets_ = 4;
  kernels::BlockSampling blocks_;
  BlockLengths lengths_{};
  PredictorOptions predictor_options_;
  double momentum_ = 0.996, momentum_end_ = 1;
  PatchPredictor predictor_;
  std::unique_ptr<Encoder> teacher_;
};

const RegisterMethod<Ijepa> ijepa(
    "ijepa", "I-JEPA (Assran et al. 2023): predict the features of hidden blocks from those of the other patches");

}  // namespace
}  // namespace gestalt
