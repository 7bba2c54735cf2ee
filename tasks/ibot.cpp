// iBOT: a student gives crops of an image, and patches that it does not see, the distributions over prototypes that its
// teacher gives the whole. Zhou et al. 2022, "Image BERT pre-training with online tokenizer", section 3.
#include <cmath>

#include "engine/ops/block_mask.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "models/vit.h"
#include "tasks/training/self_distillation.h"

namespace gestalt {
namespace {

// One head serves class tokens and patches; each has a centre of its own. The student sees mask tokens in blocks of the
// large views, of the small ones all.
class Ibot : public SelfDistillation {
 public:
  Ibot() {
    augment.crop_min = 0.25;
    local_.count = 10;
    local_.crop_max = 0.25;
    head_.out = 8192;
  }

  void own_fields(Fields& f) override {
    f.title("iBOT");
    SelfDistillation::own_fields(f);
    f("mask-chance", mask_.chance, "how often a large view has a mask", between(0, 1));
    f("mask-ratio-min", mask_.ratio_low, "smallest share of the patches that a mask hides",
      {.high = 1, .with_low = false, .with_high = false});
    f("mask-ratio-max", mask_.ratio_high, "largest share of the patches that a mask hides",
      {.high = 1, .with_low = false, .with_high = false});
    f("patch-weight", patch_weight_, "weight of the loss on hidden patches beside that on class tokens", at_least(0));
  }

  void build_heads(Random& random) override {
    const auto* vit = dynamic_cast<const VisionTransformer*>(encoder_.get());
    check(vit && vit->first_patch() == 1,
          "[ibot] got --model {}, expected a ViT with a class token; set --model vit-small and leave out "
          "--no-class-token",
          model.model);
    SelfDistillation::build_heads(random);
    mask_.rows = mask_.columns = static_cast<int32_t>(vit->side());
    mask_token_ = Tensor::zeros({1, 1, vit->features()}).require_grad();
    patch_centre_ = Tensor::zeros({head_.out});
  }

  Loss loss(const Batch& batch, const StepInfo& info) override {
    const Tensor& images = batch.views[0];  // (2B, S, S, 3)
    const BlockMasks masks = mask_blocks(batch.samples, 2, mask_, static_cast<uint64_t>(run.seed), info.batch);
    const Taught taught = teach(images);
    const Tensor tokens =
        vit(*encoder_).tokens(images, masks.hidden, mask_token_.reshape({mask_token_.dim(2)}), run.resolved_dtype());
    // Class tokens, as in DINO.
    Tensor h = class_tokens(tokens);
    if (batch.views.size() > 1)
      h = concat(h, class_tokens(vit(*encoder_).tokens(batch.views[1], run.resolved_dtype())));
    const auto [loss, entropy, kl] =
        soft_cross_entropy(student_head_(h, true), taught.of_class, images.dim(0) / 2, targets(centre_));
    // Hidden patches, each against the teacher's of the same view and place.
    const Tensor hidden = rows(gather_rows(patch_tokens(tokens), masks.masked));      // (2B · M, F)
    const Tensor hidden_logits = rows(gather_rows(taught.of_patches, masks.masked));  // (2B · M, K)
    SoftCrossEntropyOptions options = targets(patch_centre_);
    options.weights = masks.weights;
    options.same_view = true;
    const auto [patch_loss, patch_entropy, patch_kl] =
        soft_cross_entropy(student_head_(hidden, true), hidden_logits.detach(), hidden.dim(0), options);

    const Tensor total = add(loss, scale(patch_loss, patch_weight_));
    const NoGrad off;
    const Tensor centred = add_row(taught.of_class, scale(centre_, -1));
    move(centre_, taught.of_class);
    move(patch_centre_, rows(taught.of_patches));
    return {total,
            centred,
            {{"class_loss", loss},
             {"patch_loss", patch_loss},
             {"teacher_entropy", entropy},
             {"patch_entropy", patch_entropy},
             {"kl", add(kl, scale(patch_kl, patch_weight_))}}};
  }

  std::vector<CollapseSign> collapse_signs() const override {
    std::vector<CollapseSign> signs = SelfDistillation::collapse_signs();
    const double most = std::log(static_cast<double>(head_.out));
    signs.push_back({"patch_entropy", CollapseSign::Side::above, 0.99 * most,
                     "the teacher gives all patches all prototypes alike", sharpen});
    signs.push_back({"patch_entropy", CollapseSign::Side::below, 0.01 * most, "one prototype takes all patches"});
    return signs;
  }

  void visit(Visitor& v) override {
    SelfDistillation::visit(v);
    v("mask_token", mask_token_);
    v.state("patch_centre", patch_centre_);
  }

 private:
  struct Taught {
    Tensor of_class, of_patches;  // logits (2B, K), (2B, N, K)
  };
  Taught teach(const Tensor& images) {
    const NoGrad off;
    const Tensor tokens = vit(*teacher_encoder_).tokens(images, run.resolved_dtype());
    const Tensor patches = patch_tokens(tokens);
    return {teacher_head_(class_tokens(tokens), true),
            teacher_head_(rows(patches), true).reshape({patches.dim(0), patches.dim(1), head_.out})};
  }

  static const VisionTransformer& vit(const Encoder& encoder) { return static_cast<const VisionTransformer&>(encoder); }
  static Tensor rows(const Tensor& x) { return x.reshape({x.dim(0) * x.dim(1), x.dim(2)}); }
  static Tensor class_tokens(const Tensor& tokens) { return rows(slice_tokens(tokens, 0, 1)); }
  static Tensor patch_tokens(const Tensor& tokens) { return slice_tokens(tokens, 1, tokens.dim(1)); }

  kernels::MaskSampling mask_;
  double patch_weight_ = 1;
  Tensor mask_token_;    // (1, 1, F)
  Tensor patch_centre_;  // (K)
};

const RegisterMethod<Ibot> ibot(
    "ibot",
    "iBOT (Zhou et al. 2022): DINO, and hidden patches get the distribution that the moving average gives them");

}  // namespace
}  // namespace gestalt
