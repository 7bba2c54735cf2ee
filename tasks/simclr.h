// SimCLR: agreement between two views of an image, against all other images of the batch.
#pragma once

#include "models/heads.h"
#include "tasks/training/image_task.h"

namespace gestalt {

// Chen et al. 2020, "A simple framework for contrastive learning of visual representations", algorithm 1.
class Simclr : public ImageTask {
 public:
  double temperature = 0.5;
  int64_t head_hidden = 512, head_out = 128, head_layers = 2;
  bool head_norm = true;

  Simclr();
  std::string name() const override { return "simclr"; }
  void fields(Fields& f) override;
  LossOutput loss(const Inputs& inputs, const StepInfo& info) override;
  bool replayable() const override { return true; }
  void visit(Visitor& v) override;

 protected:
  void build_heads(Random& random) override;

 private:
  MlpHead head_;
};

}  // namespace gestalt
