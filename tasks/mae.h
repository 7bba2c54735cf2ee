// MAE: a Vision Transformer sees a quarter of an image's patches, a light decoder paints the others.
#pragma once

#include "models/masked_decoder.h"
#include "models/vit.h"
#include "tasks/mae_pictures.h"
#include "tasks/training/image_task.h"

namespace gestalt {

// He et al. 2022, "Masked autoencoders are scalable vision learners".
class Mae : public ImageTask {
 public:
  double mask_ratio = 0.75;
  bool norm_pixels = true;
  DecoderOptions decoder;

  Mae();
  std::string name() const override { return "mae"; }
  void fields(Fields& f) override;
  LossOutput loss(const Inputs& inputs, const StepInfo& info) override;
  bool replayable() const override { return true; }
  double collapsed_spread() const override { return 0; }  // pixels differ; early on, tokens hardly do
  void write_pictures(const std::string& folder, int64_t epoch) override;
  // What the model makes of `images` (B, S, S, 3) as evaluation_view() gives them, f32 on the run's device, behind
  // masks that no training step draws; each `draw` has its own.
  Reconstructions reconstruct(const Tensor& images, uint64_t draw = 0) const;
  void visit(Visitor& v) override;

 protected:
  std::vector<kernels::AugmentParameters> views() const override;
  // The targets: bf16 would round away much of a smooth patch. The encoder computes in the run's dtype all the same.
  DType view_dtype() const override { return DType::f32; }
  void build_heads(Random& random) override;

 private:
  const VisionTransformer& vit() const { return static_cast<const VisionTransformer&>(*encoder_); }

  MaskedDecoder decoder_;
  Tensor samples_;  // i32 (B), whose masks are drawn
};

}  // namespace gestalt
