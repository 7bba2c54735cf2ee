// MAE: one view, random masking, an encoder of visible patches, a decoder, and the masked reconstruction loss.
#include "tasks/mae.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "engine/data/images/loader.h"
#include "engine/ops/masked_loss.h"
#include "engine/ops/pool.h"
#include "engine/tensor/autograd.h"
#include "kernels/philox.h"

namespace gestalt {
namespace {

// 0 … count − 1, i32.
Tensor numbers(int64_t count, Device device) {
  std::vector<int32_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return Tensor::from(all, {count}).to(device);
}

}  // namespace

Mae::Mae() {
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

void Mae::fields(Fields& f) {
  ImageTask::fields(f);
  f.title("MAE");
  f("mask-ratio", mask_ratio, "share of the patches that the encoder does not see");
  f("norm-pixels", norm_pixels, "take off each target patch's mean and divide by its deviation");
  decoder.fields(f);
}

std::vector<kernels::AugmentParameters> Mae::views() const { return {augment.parameters()}; }

void Mae::build_heads(Random& random) {
  const auto* vit = dynamic_cast<const VisionTransformer*>(encoder_.get());
  check(vit, "[mae] got --model {}, expected a ViT, which can leave patches out", model.model);
  decoder_ = MaskedDecoder(decoder, vit->features(), vit->side(), vit->patch(), random);
}

LossOutput Mae::loss(const Inputs& inputs, const StepInfo& info) {
  const Tensor& images = inputs.tensors[0];  // (B, S, S, 3)
  // Kept from step to step: a captured graph copies nothing from the host.
  if (!samples_ || samples_.dim(0) != images.dim(0)) samples_ = numbers(images.dim(0), images.device());
  const PatchMask mask =
      random_mask(samples_, vit().patches(), mask_ratio, static_cast<uint64_t>(run.seed), info.batch);
  const Tensor tokens = vit().tokens(images, mask, run.resolved_dtype());  // (B, 1 + K, D)
  const Tensor predictions = decoder_(tokens, mask.places);                // (B, N, p·p·3)
  return {masked_loss(predictions, images, mask.masked, vit().patch(), norm_pixels),
          global_average_pool(tokens.detach())};
}

Reconstructions Mae::reconstruct(const Tensor& images, uint64_t draw) const {
  const NoGrad no_grad;
  const PatchMask mask = random_mask(numbers(images.dim(0), images.device()), vit().patches(), mask_ratio,
                                     static_cast<uint64_t>(run.seed), last_step - draw);
  const Tensor predictions = decoder_(vit().tokens(images, mask, run.resolved_dtype()), mask.places);
  return {images, predictions, mask.masked, vit().patch(), norm_pixels};
}

void Mae::write_pictures(const std::string& folder, int64_t epoch) {
  const std::shared_ptr<ImageSet>& set = labelled() ? test() : this->images();
  Loader loader(set, {.batch = std::min<int64_t>(8, set->size()), .drop_last = false, .shuffle = false});
  const ImageBatch batch = loader.next();
  const Normalisation normal = normalisation(augment.normalise);
  const Tensor images = evaluation_view(batch.pixels.to(run.resolved_device()), batch.frames, image_size, normal);
  write_reconstructions(fmt::format("{}/reconstructions-{:04}.png", folder, epoch), reconstruct(images), normal);
}

void Mae::visit(Visitor& v) {
  ImageTask::visit(v);
  decoder_.visit(v);
}

namespace {

const RegisterTask mae(
    {"mae",
     "MAE (He et al. 2022): a ViT sees a quarter of the patches, a decoder reconstructs the pixels of the others",
     [] { return std::unique_ptr<Task>(std::make_unique<Mae>()); },
     {{"tiny", "seconds on any machine, for trying things out",
       R"({"data": "shapes:192", "model": "vit-nano", "patch": 8, "decoder-width": 64, "decoder-depth": 1,
           "decoder-heads": 2, "batch": 32, "epochs": 3, "lr": 8e-3, "warmup-epochs": 0, "probe-every": 0})"},
      {"mae-cifar10",
       "ViT-Ti with patches of 2, decoder 192 x 4 x 3, mask 0.75, raw pixels, no augmentation, batch 4,096, 2,000 "
       "epochs, AdamW lr 1.5e-4·batch/256 (IcarusWizard/MAE, which reports 89.8 fine-tuned and 74.1 from scratch: "
       "class token, best epoch on the test set; 'evaluate finetune --crop-min 1 --flip 0' is its fine-tuning)",
       R"({"data": "cifar10:cifar-10-batches-bin",
           "model": "vit-tiny", "patch": 2, "pool": "cls", "batch": 4096, "epochs": 2000, "optimizer": "adamw",
           "lr": 1.5e-4, "beta1": 0.9, "beta2": 0.95, "weight-decay": 0.05, "warmup-epochs": 200, "mask-ratio": 0.75,
           "norm-pixels": false, "decoder-width": 192, "decoder-depth": 4, "decoder-heads": 3, "crop-min": 1,
           "crop-max": 1, "flip": 0, "jitter": 0, "grayscale": 0, "normalise": "half"})"}}});

}  // namespace

}  // namespace gestalt
