// Heads: construction and forward pass.
#include "models/heads.h"

#include "engine/ops/pointwise.h"

namespace gestalt {

MlpHead::MlpHead(int64_t in, int64_t hidden, int64_t out, int64_t layers, bool batch_norm, Random& random,
                 bool output_norm) {
  check(layers >= 1, "[head] got {} layers, expected 1 or more", layers);
  check(batch_norm || !output_norm, "[head] got batch norm on the output alone, expected it on hidden layers too");
  for (int64_t i = 0; i < layers; ++i) {
    const bool last = i + 1 == layers;
    linears_.emplace_back(i == 0 ? in : hidden, last ? out : hidden, random, last ? !output_norm : !batch_norm);
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

}  // namespace gestalt
