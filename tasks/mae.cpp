// MAE: a Vision Transformer sees a quarter of an image's patches, a light decoder paints the others.
// He et al. 2022, "Masked autoencoders are scalable vision learners", section 3.
#include <fmt/format.h>

#include "engine/ops/masked_loss.h"
#include "engine/ops/pool.h"
#include "engine/tensor/autograd.h"
#include "kernels/philox.h"
#include "models/hub_folder.h"
#include "models/reconstruction.h"
#include "models/vit.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

class Mae : public ImageMethod {
 public:
  Mae() {
    run.batch = 256;
    model.model = "vit-tiny";
    optimizer.kind = "adamw";
    optimizer.rate = 1.5e-4;
    optimizer.beta2 = 0.95;
    optimizer.decay = 0.05;
    optimizer.warmup_epochs = 10;
    augment.crop_min = 0.2;
    augment.jitter = 0;
    augment.grayscale = 0;
  }

  void own_fields(Fields& f) override {
    f.title("MAE");
    f("mask-ratio", mask_ratio_, "share of the patches that the encoder does not see",
      {.high = 1, .with_low = false, .with_high = false});
    f("norm-pixels", norm_pixels_, "take off each target patch's mean and divide by its deviation");
    decoder_options_.fields(f);
  }

  std::vector<ViewGroup> views() const override { return {{{augment.parameters()}, image_size}}; }
  // The targets: bf16 would round away much of a smooth patch. The encoder computes in the run's dtype all the same.
  DType view_dtype() const override { return DType::f32; }

  int64_t least_batch() const override { return 1; }
  void build_heads(Random& random) override {
    const auto* vit = dynamic_cast<const VisionTransformer*>(encoder_.get());
    check(vit, "[mae] got --model {}, expected a ViT, which can leave patches out", model.model);
    check(model.vit.class_token,
          "[mae] got a ViT without a class token, which MAE's decoder reads; drop --no-class-token");
    decoder_ = MaskedDecoder(decoder_options_, vit->features(), vit->side(), vit->patch(), random);
  }

  Loss loss(const Batch& batch, const StepInfo& info) override {
    const Tensor& images = batch.views[0];  // (B, S, S, 3)
    const auto [predictions, masked, tokens] = paint(images, batch.samples, info.batch);
    return {masked_loss(predictions, images, masked, vit().patch(), norm_pixels_),
            global_average_pool(tokens.detach())};
  }
  std::vector<CollapseSign> collapse_signs() const override { return {}; }  // pixels differ; early on, tokens hardly do

  std::optional<Picture> picture(const Tensor& images, uint64_t draw) override {
    const NoGrad no_grad;
    const Tensor samples = first_samples(images.dim(0), images.device());
    // Pictures count steps back from the last one there is, training up from 0.
    const auto [predictions, masked, tokens] = paint(images, samples, last_step - draw);
    const Reconstructions r{images, predictions, masked, vit().patch(), norm_pixels_};
    const MaskedLosses losses = masked_losses(r);
    Picture picture = draw_reconstructions(r, normalisation(augment.normalise));
    picture.caption = fmt::format(
        "masked loss {:.4f}; predicting each patch's mean would give {:.4f} ({} images, {:g} % hidden, {}). From left "
        "to right: input, what the encoder saw, prediction, prediction where hidden",
        losses.model, losses.patch_mean, images.dim(0), 100 * mask_ratio_,
        norm_pixels_ ? "normalised patches" : "raw pixels");
    return picture;
  }

  void add_to_folder(const std::string& folder) override {
    add_masked_autoencoder(folder, *encoder_, exported_info(), {decoder_, decoder_options_, mask_ratio_, norm_pixels_});
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    decoder_.visit(v);
  }

 private:
  struct Painted {
    Tensor predictions, masked, tokens;  // (B, N, p·p·3), i32 (B, M), (B, 1 + K, D)
  };
  Painted paint(const Tensor& images, const Tensor& samples, kernels::Varying<uint64_t> step) const {
    const PatchMask mask = random_mask(samples, vit().patches(), mask_ratio_, static_cast<uint64_t>(run.seed), step);
    const Tensor tokens = vit().tokens(images, mask, run.resolved_dtype());
    return {decoder_(tokens, mask.places), mask.masked, tokens};
  }
  const VisionTransformer& vit() const { return static_cast<const VisionTransformer&>(*encoder_); }

  double mask_ratio_ = 0.75;
  bool norm_pixels_ = true;
  DecoderOptions decoder_options_;
  MaskedDecoder decoder_;
};

const RegisterMethod<Mae> mae(
    "mae",
    "MAE (He et al. 2022): a ViT sees a quarter of the patches, a decoder reconstructs the pixels of the others");

}  // namespace
}  // namespace gestalt
