// Projection and prediction heads: small multi-layer perceptrons on top of an encoder.
#pragma once

#include "engine/nn/layers.h"
#include "engine/run/fields.h"

namespace gestalt {

// Linear → (batch norm) → ReLU, `layers − 1` times, then Linear. With batch norm the hidden layers have no bias.
// With `output_norm`, which asks for batch norm, the last layer too has none and is followed by a batch norm without
// scale and shift: the projector of SimSiam. Without `output_bias` the last layer has no bias: the projector of VICReg.
class MlpHead : public Module {
 public:
  MlpHead() = default;
  MlpHead(int64_t in, int64_t hidden, int64_t out, int64_t layers, bool batch_norm, Random& random,
          bool output_norm = false, bool output_bias = true);
  Tensor operator()(const Tensor& x, bool training);  // (N, in) → (N, out)
  void visit(Visitor& v) override;

 private:
  std::vector<Linear> linears_;
  std::vector<BatchNorm> norms_;
};

struct DinoHeadOptions {
  int64_t hidden = 2048, bottleneck = 256;
  int64_t out = 65536;      // prototypes; 4096 suits CIFAR
  int64_t layers = 3;       // linear layers up to the bottleneck
  bool batch_norm = false;  // after hidden layers, which then have no bias
  void fields(Fields& f);
};

// The head of DINO (Caron et al. 2021): Linear → (batch norm) → GELU, `layers − 1` times, Linear to the bottleneck,
// unit length, then a linear layer without bias whose rows have unit length: its results are cosines.
// `last_layer.weight` holds the rows before that; their lengths are no parameters.
class DinoHead : public Module {
 public:
  DinoHead() = default;
  DinoHead(int64_t in, const DinoHeadOptions& options, Random& random);
  Tensor operator()(const Tensor& x, bool training);  // (N, in) → (N, out)
  void visit(Visitor& v) override;

 private:
  std::vector<Linear> mlp_;
  std::vector<BatchNorm> norms_;
  Tensor last_weight_;  // (out, bottleneck)
};

}  // namespace gestalt
