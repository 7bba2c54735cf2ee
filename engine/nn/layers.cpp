// Layers: parameters, calls and part names.
#include "engine/nn/layers.h"

#include <cmath>

#include "engine/ops/batch_norm.h"
#include "engine/ops/conv.h"
#include "engine/ops/product.h"
#include "engine/ops/rows.h"

namespace gestalt {

Linear::Linear(int64_t in, int64_t out, Random& random, bool with_bias) {
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  weight = random.uniform({out, in}, -bound, bound).require_grad();
  if (with_bias) bias = random.uniform({out}, -bound, bound).require_grad();
}
Tensor Linear::operator()(const Tensor& x) const { return linear(x, weight, bias); }
void Linear::visit(Visitor& v) {
  v("weight", weight);
  v("bias", bias);
}

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, Random& random,
               std::optional<double> deviation)
    : stride(stride), padding(padding) {
  const double he = std::sqrt(2.0 / static_cast<double>(out * kernel * kernel));
  weight = random.normal({out, kernel, kernel, in}, 0, deviation.value_or(he)).require_grad();
}
Tensor Conv2d::operator()(const Tensor& x) const { return conv2d(x, weight, stride, padding); }
void Conv2d::visit(Visitor& v) { v("weight", weight); }

ConvTranspose2d::ConvTranspose2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding,
                                 Random& random, double deviation)
    : weight(random.normal({in, kernel, kernel, out}, 0, deviation).require_grad()), stride(stride), padding(padding) {}
Tensor ConvTranspose2d::operator()(const Tensor& x) const { return conv_transpose2d(x, weight, stride, padding); }
void ConvTranspose2d::visit(Visitor& v) { v("weight", weight); }

BatchNorm::BatchNorm(int64_t channels, bool affine)
    : weight(Tensor::full({channels}, 1).require_grad(affine)),
      bias(Tensor::zeros({channels}).require_grad(affine)),
      running_mean(Tensor::zeros({channels})),
      running_var(Tensor::full({channels}, 1)),
      affine(affine) {}
Tensor BatchNorm::operator()(const Tensor& x, bool training, bool relu, const Tensor& residual) {
  return batch_norm(x, weight, bias, running_mean, running_var,
                    {.relu = relu, .training = training, .residual = residual});
}
void BatchNorm::visit(Visitor& v) {
  if (affine) {
    v("weight", weight);
    v("bias", bias);
  } else {
    v.state("weight", weight);
    v.state("bias", bias);
  }
  v.state("running_mean", running_mean);
  v.state("running_var", running_var);
}

LayerNorm::LayerNorm(int64_t channels, double epsilon)
    : weight(Tensor::full({channels}, 1).require_grad()),
      bias(Tensor::zeros({channels}).require_grad()),
      epsilon(epsilon) {}
Tensor LayerNorm::operator()(const Tensor& x) const { return layer_norm(x, weight, bias, epsilon); }
void LayerNorm::visit(Visitor& v) {
  v("weight", weight);
  v("bias", bias);
}

}  // namespace gestalt
