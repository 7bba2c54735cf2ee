// Heads: construction and forward pass.
#include "models/heads.h"

#include <cmath>

#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "engine/ops/rows.h"
#include "models/transformer.h"

namespace gestalt {

MlpHead::MlpHead(int64_t in, int64_t hidden, int64_t out, int64_t layers, bool batch_norm, Random& random,
                 bool output_norm, bool output_bias) {
  check(layers >= 1, "[head] got {} layers, expected 1 or more", layers);
  check(batch_norm || !output_norm, "[head] got batch norm on the output alone, expected it on hidden layers too");
  for (int64_t i = 0; i < layers; ++i) {
    const bool last = i + 1 == layers;
    linears_.emplace_back(i == 0 ? in : hidden, last ? out : hidden, random,
                          last ? output_bias && !output_norm : !batch_norm);
    if (last ? output_norm : batch_norm) norms_.emplace_back(last ? out : hidden, !last);
  }
}

Tensor MlpHead::operator()(const Tensor& x, bool training) {
  Tensor y = x;
  for (size_t i = 0; i < linears_.size(); ++i) {
    const bool last = i + 1 == linears_.size();
    y = linears_[i](y);
    if (i < norms_.size())
      y = norms_[i](y, training, !last);
    else if (!last)
      y = relu(y);
  }
  return y;
}

void MlpHead::visit(Visitor& v) {
  v("linears", linears_);
  v("norms", norms_);
}

void DinoHeadOptions::fields(Fields& f) {
  f("head-hidden", hidden, "width of the head's hidden layers", between(1, 1 << 20));
  f("head-bottleneck", bottleneck, "width of the head before its last layer", between(1, 1 << 20));
  f("head-layers", layers, "linear layers of the head up to its bottleneck", between(1, 1000));
  f("head-norm", batch_norm, "batch norm in the head's hidden layers");
  f("prototypes", out, "outputs of the head", between(1, 1 << 20));
}

DinoHead::DinoHead(int64_t in, const DinoHeadOptions& o, Random& random) {
  check(o.layers >= 1, "[head] got {} layers, expected 1 or more", o.layers);
  for (int64_t i = 0; i < o.layers; ++i) {
    const bool last = i + 1 == o.layers;
    mlp_.push_back(make_linear(i == 0 ? in : o.hidden, last ? o.bottleneck : o.hidden, WeightDraw::truncated, random));
    if (last || !o.batch_norm) continue;
    mlp_.back().bias = {};
    norms_.emplace_back(o.hidden);
  }
  // Drawn as PyTorch's Linear draws it.
  const double bound = 1 / std::sqrt(static_cast<double>(o.bottleneck));
  last_weight_ = random.uniform({o.out, o.bottleneck}, -bound, bound).require_grad();
}

Tensor DinoHead::operator()(const Tensor& x, bool training) {
  Tensor y = x;
  for (size_t i = 0; i < mlp_.size(); ++i) {
    if (i + 1 == mlp_.size())
      y = mlp_[i](y);
    else if (i < norms_.size())
      y = gelu(norms_[i](mlp_[i](y), training));
    else
      y = linear_gelu(y, mlp_[i].weight, mlp_[i].bias);
  }
  return linear(normalize(y), normalize(last_weight_));
}

void DinoHead::visit(Visitor& v) {
  v("mlp", mlp_);
  v("norms", norms_);
  v("last_layer.weight", last_weight_);
}

}  // namespace gestalt
