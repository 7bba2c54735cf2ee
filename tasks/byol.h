// BYOL: a network predicts what its own moving average says about another view of the same image.
#pragma once

#include "engine/nn/schedule.h"
#include "engine/nn/teacher.h"
#include "models/heads.h"
#include "tasks/training/image_task.h"

namespace gestalt {

// Grill et al. 2020, "Bootstrap your own latent: a new approach to self-supervised learning", section 3.
// As in the authors' code, each view passes batch norm by itself, and the target network normalises by the statistics
// of its batch: only weights are averaged. The collapse meter looks at the projections, which collapse first.
class Byol : public ImageTask {
 public:
  double tau = 0.99, tau_end = 1;
  int64_t head_hidden = 1024, head_out = 256, predictor_hidden = 1024;
  bool use_predictor = true;
  double blur_second = 0, solarize_second = 0.2;  // AugmentOptions has the first view's

  // The networks that have a moving average, and that average.
  struct Network : Module {
    std::unique_ptr<Encoder> encoder;
    MlpHead projector;
    void visit(Visitor& v) override;
  };

  Byol();
  std::string name() const override { return "byol"; }
  void fields(Fields& f) override;
  void prepare(const ParameterArena& arena) override { teacher_.attach(target_, *this, arena); }
  void begin_step(const StepInfo& info) override;
  LossOutput loss(const Inputs& inputs, const StepInfo& info) override;
  bool replayable() const override { return true; }
  void after_step(const StepInfo& info, ParameterArena& arena) override;
  std::string collapse_cure() const override;
  void visit(Visitor& v) override;

  // Trains this encoder; `target` is a second one of the same architecture. Call it before build().
  void use_encoders(std::unique_ptr<Encoder> online, std::unique_ptr<Encoder> target);
  Network& target() { return target_; }

 protected:
  std::vector<kernels::AugmentParameters> views() const override;
  void build_heads(Random& random) override;

 private:
  MlpHead projector_, predictor_;
  Network target_;
  Teacher teacher_;
  Scheduled momentum_;
};

}  // namespace gestalt
