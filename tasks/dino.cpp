// DINO: a student gives small and large crops of an image the distribution over prototypes that its teacher gives the
// large ones. Caron et al. 2021, "Emerging properties in self-supervised vision transformers", algorithm 1.
#include "engine/ops/pointwise.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "tasks/training/self_distillation.h"

namespace gestalt {
namespace {

class Dino : public SelfDistillation {
 public:
  void own_fields(Fields& f) override {
    f.title("DINO");
    SelfDistillation::own_fields(f);
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    const Tensor logits = teach(batch.views[0]);  // (2B, K): the teacher sees the large views
    Tensor h = encoder_->forward(batch.views[0], true);
    if (batch.views.size() > 1) h = concat(h, encoder_->forward(batch.views[1], true));  // ((2 + local)·B, F)
    const auto [loss, entropy, kl] =
        soft_cross_entropy(student_head_(h, true), logits, batch.views[0].dim(0) / 2, targets(centre_));
    const NoGrad off;
    const Tensor centred = add_row(logits, scale(centre_, -1));
    move(centre_, logits);
    return {loss, centred, {{"teacher_entropy", entropy}, {"kl", kl}}};
  }

 private:
  Tensor teach(const Tensor& images) {
    const NoGrad off;
    return teacher_head_(teacher_encoder_->forward(images, true), true);
  }
};

const RegisterMethod<Dino> dino(
    "dino", "DINO (Caron et al. 2021): give crops the distribution that the moving average gives the whole");

}  // namespace
}  // namespace gestalt
