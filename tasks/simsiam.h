// SimSiam: BYOL without a moving average; the target is the network itself, held still.
#pragma once

#include "models/heads.h"
#include "tasks/training/image_task.h"

namespace gestalt {

// Chen and He 2021, "Exploring simple Siamese representation learning", algorithm 1. The loss is the paper's plus 1.
// As in the authors' code, each view passes batch norm by itself.
class Simsiam : public ImageTask {
 public:
  int64_t head_hidden = 2048, head_out = 2048, head_layers = 2, predictor_hidden = 512;

  Simsiam();
  std::string name() const override { return "simsiam"; }
  void fields(Fields& f) override;
  LossOutput loss(const Inputs& inputs, const StepInfo& info) override;
  bool replayable() const override { return true; }
  void visit(Visitor& v) override;

 protected:
  void build_heads(Random& random) override;

 private:
  MlpHead projector_, predictor_;
};

}  // namespace gestalt
