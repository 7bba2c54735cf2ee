// MoCo v3: a prediction of a slowly moving encoder's view of the image is told from its views of the batch's others.
// Chen, Xie and He 2021, "An empirical study of training self-supervised vision transformers", algorithm 1.
#include "engine/data/images/views.h"
#include "engine/ops/info_nce.h"
#include "engine/ops/pointwise.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// No queue: the other keys of the batch are the negatives. Both orders of the views are added, times 2τ as in the
// authors' code. A ViT's patch embedding stays as it was drawn, which keeps its training from breaking down (section
// 4).
class Mocov3 : public ImageMethod {
 public:
  Mocov3() {
    run.batch = 256;
    optimizer.kind = "lars";
    optimizer.rate = 0.3;
    optimizer.decay = 1e-6;
    optimizer.clip_local = true;
    optimizer.warmup_epochs = 10;
    augment.saturation = 0.2;
  }

  void own_fields(Fields& f) override {
    f.title("MoCo v3");
    second_.fields(f);
    f("temperature", temperature_, "softmax temperature (τ); the loss is multiplied by 2τ", at_least(0.0137));
    f("key-momentum", momentum_, "share of itself that the key encoder keeps in a step, at the beginning",
      between(0, 1));
    f("key-momentum-end", momentum_end_, "the same at the end; a cosine leads there", between(0, 1));
    f("freeze-patches", freeze_patches_, "leave a ViT's patch embedding as it was drawn");
    f("head-hidden", head_hidden_, "width of the projector's hidden layers", between(1, 1 << 20));
    f("head-out", head_out_, "width of the projection", between(1, 1 << 20));
    f("head-layers", head_layers_, "linear layers of the projector: 2 for a ResNet, 3 for a ViT", between(1, 1000));
    f("predictor-hidden", predictor_hidden_, "width of the predictor's hidden layer", between(1, 1 << 20));
    f("predictor-norm", predictor_norm_, "batch norm after the predictor, as for a ViT");
  }

  std::vector<ViewGroup> views() const override {
    return {{{augment.parameters(), second_.of(augment).parameters()}, image_size}};
  }

  void build_heads(Random& random) override {
    const auto projector = [&] {
      return MlpHead(encoder_->features(), head_hidden_, head_out_, head_layers_, true, random, true);
    };
    projector_ = projector();
    predictor_ = MlpHead(head_out_, predictor_hidden_, head_out_, 2, true, random, predictor_norm_, false);
    key_encoder_ = new_encoder(random);
    key_projector_ = projector();
    query_ = Group({{"encoder", encoder_.get()}, {"projector", &projector_}});
    key_ = Group({{"encoder", key_encoder_.get()}, {"projector", &key_projector_}});
    copy_parts(query_, key_);
  }

  void plan(Plan& p) override { p.teacher(key_, query_, Schedule::cosine(momentum_, momentum_end_, p.total_steps)); }
  PartFactors factors(const std::string& part, const Plan& p) const override {
    return {.frozen_steps = freeze_patches_ && part.starts_with("encoder.patch_embed.") ? p.total_steps : 0};
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    const std::vector<Tensor> view = split_views(batch.views[0], 2);
    Tensor z[2], q[2], k[2];  // (B, head_out)
    for (int v = 0; v < 2; ++v) {
      z[v] = projector_(encoder_->forward(view[v], true), true);
      q[v] = predictor_(z[v], true);
    }
    for (int v = 0; v < 2; ++v) {
      const NoGrad off;
      k[v] = key_projector_(key_encoder_->forward(view[v], true), true);
    }
    const ContrastLoss one = info_nce(q[0], k[1], {.temperature = temperature_});
    const ContrastLoss other = info_nce(q[1], k[0], {.temperature = temperature_});
    return {scale(add(one.loss, other.loss), 2 * temperature_),
            z[0],
            {{"accuracy", scale(add(one.accuracy, other.accuracy), 0.5)}}};
  }

  std::vector<CollapseSign> collapse_signs() const override { return usual_signs_and({accuracy_by_chance(run.batch)}); }

  void visit(Visitor& v) override {
    query_.visit(v);
    v("predictor", predictor_);
    v.state("key", key_);
  }

 private:
  double temperature_ = 0.2, momentum_ = 0.99, momentum_end_ = 1;
  bool freeze_patches_ = true, predictor_norm_ = false;
  int64_t head_hidden_ = 4096, head_out_ = 256, head_layers_ = 2, predictor_hidden_ = 4096;
  SecondViewOptions second_{.solarize = 0.2};
  MlpHead projector_, predictor_, key_projector_;
  std::unique_ptr<Encoder> key_encoder_;
  Group query_, key_;
};

const RegisterMethod<Mocov3> mocov3(
    "mocov3", "MoCo v3 (Chen et al. 2021): predict a slowly moving encoder's view, told from those of the batch");

}  // namespace
}  // namespace gestalt
