// Projection and prediction heads: small multi-layer perceptrons on top of an encoder.
#pragma once

#include "engine/nn/layers.h"

namespace gestalt {

// Linear → (batch norm) → ReLU, `layers − 1` times, then Linear. With batch norm the hidden layers have no bias.
// With `output_norm`, which asks for batch norm, the last layer too has none and is followed by a batch norm without
// scale and shift: the projector of SimSiam.
class MlpHead : public Module {
 public:
  MlpHead() = default;
  MlpHead(int64_t in, int64_t hidden, int64_t out, int64_t layers, bool batch_norm, Random& random,
          bool output_norm = false);
  Tensor operator()(const Tensor& x, bool training);  // (N, in) → (N, out)
  void visit(Visitor& v) override;

 private:
  std::vector<Linear> linears_;
  std::vector<BatchNorm> norms_;
};

}  // namespace gestalt
