// Heads: construction and forward pass.
#include "models/heads.h"

#include "engine/ops/pointwise.h"

namespace gestalt {

MlpHead::MlpHead(int64_t in, int64_t hidden, int64_t out, int64_t layers, bool batch_norm, Random& random) {
  check(layers >= 1, "[head] got {} layers, expected 1 or more", layers);
  for (int64_t i = 0; i < layers; ++i) {
    const bool last = i + 1 == layers;
    linears_.emplace_back(i == 0 ? in : hidden, last ? out : hidden, random, last || !batch_norm);
    if (batch_norm && !last) norms_.emplace_back(hidden);
  }
}

Tensor MlpHead::operator()(const Tensor& x, bool training) {
  Tensor y = x;
  for (size_t i = 0; i < linears_.size(); ++i) {
    y = linears_[i](y);
    if (i + 1 == linears_.size()) break;
    y = norms_.empty() ? relu(y) : norms_[i](y, training, true);
  }
  return y;
}

void MlpHead::visit(Visitor& v) {
  v("linears", linears_);
  v("norms", norms_);
}

}  // namespace gestalt
