// The layers that models are written from: a few parameters and a call.
#pragma once

#include <optional>

#include "engine/nn/module.h"
#include "engine/tensor/random.h"

namespace gestalt {

// y = x·Wᵀ + b. Weights are drawn as PyTorch's Linear draws them: uniform in ±1/√in.
class Linear : public Module {
 public:
  Linear() = default;
  Linear(int64_t in, int64_t out, Random& random, bool bias = true);
  Tensor operator()(const Tensor& x) const;  // (…, in) → (…, out)
  void visit(Visitor& v) override;

  Tensor weight;  // (out, in)
  Tensor bias;    // (out), undefined without one
};

// Convolution without bias, NHWC. Weights are normal with the given deviation, else √(2 / (out·KH·KW)) (He et al. 2015,
// fan out).
class Conv2d : public Module {
 public:
  Conv2d() = default;
  Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, Random& random,
         std::optional<double> deviation = {});
  Tensor operator()(const Tensor& x) const;  // (N, H, W, in) → (N, H', W', out)
  void visit(Visitor& v) override;

  Tensor weight;  // (out, KH, KW, in)
  int64_t stride = 1, padding = 0;
};

// Transposed convolution without bias, NHWC. Weights are normal with the given deviation.
class ConvTranspose2d : public Module {
 public:
  ConvTranspose2d() = default;
  ConvTranspose2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, Random& random,
                  double deviation);
  Tensor operator()(const Tensor& x) const;  // (N, H, W, in) → (N, (H − 1)·stride − 2·padding + kernel, …, out)
  void visit(Visitor& v) override;

  Tensor weight;  // (in, KH, KW, out)
  int64_t stride = 1, padding = 0;
};

// Batch normalisation over the last axis (Ioffe and Szegedy 2015), optionally followed by a residual sum and a ReLU.
class BatchNorm : public Module {
 public:
  BatchNorm() = default;
  // Without `affine`, weight and bias stay 1 and 0.
  explicit BatchNorm(int64_t channels, bool affine = true);
  Tensor operator()(const Tensor& x, bool training, bool relu = false, const Tensor& residual = {});
  void visit(Visitor& v) override;

  Tensor weight, bias;               // (C)
  Tensor running_mean, running_var;  // (C)
  bool affine = true;
};

// Layer normalisation over the last axis (Ba et al. 2016).
class LayerNorm : public Module {
 public:
  LayerNorm() = default;
  explicit LayerNorm(int64_t channels, double epsilon = 1e-6);
  Tensor operator()(const Tensor& x) const;
  void visit(Visitor& v) override;

  Tensor weight, bias;  // (C)
  double epsilon = 1e-6;
};

}  // namespace gestalt
