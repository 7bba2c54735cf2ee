// Batch normalisation with its gradient.
#include "engine/ops/batch_norm.h"

#include "engine/tensor/autograd.h"
#include "kernels/batch_norm.h"

namespace gestalt {

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                  const Tensor& running_var, const BatchNormOptions& options) {
  const int64_t channels = x.rank() >= 1 ? x.dim(-1) : 0, rows = channels ? x.count() / channels : 0;
  const DType accumulator = accumulator_of(x.dtype());
  for (const Tensor* t : {&gamma, &beta, &running_mean, &running_var})
    check(t->shape() == Shape{channels} && t->dtype() == accumulator,
          "[batch_norm] got x {} with a parameter or statistic {} {}, expected {} ({})", x.shape().text(),
          name(t->dtype()), t->shape().text(), name(accumulator), channels);
  const Tensor residual = options.residual;
  check(!residual || (residual.shape() == x.shape() && residual.dtype() == x.dtype()),
        "[batch_norm] got a residual that is not {} {}", name(x.dtype()), x.shape().text());
  check(rows > (options.training ? 1 : 0),
        "[batch_norm] got x {}, expected at least {} per channel; use a larger batch", x.shape().text(),
        options.training ? "two values" : "one value");
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  Tensor mean = Tensor::empty({channels}, accumulator, x.device());
  Tensor inv_std = Tensor::empty({channels}, accumulator, x.device());
  Tensor moving_mean = running_mean, moving_var = running_var;
  kernels::launch(kernels::BatchNorm{.x = x.in(),
                                     .residual = residual.in(),
                                     .gamma = gamma.in(),
                                     .beta = beta.in(),
                                     .running_mean = moving_mean.out(),
                                     .running_var = moving_var.out(),
                                     .y = y.out(),
                                     .mean = mean.out(),
                                     .inv_std = inv_std.out(),
                                     .rows = rows,
                                     .channels = channels,
                                     .eps = options.eps,
                                     .momentum = options.momentum,
                                     .relu = options.relu,
                                     .training = options.training},
                  x.stream());
  std::vector<Tensor> inputs{x, gamma, beta};
  if (residual) inputs.push_back(residual);
  return record("batch_norm", y, inputs,
                [x = x.detach(), y = options.relu && residual ? y.detach() : Tensor(), gamma, beta, mean, inv_std, rows,
                 channels, need_dx = x.requires_grad(), need_dresidual = residual && residual.requires_grad(),
                 inputs = inputs.size(), relu = options.relu, training = options.training](const Tensor& dy) -> Grads {
                  Grads grads(inputs);
                  const bool copy = need_dresidual && y;  // without ReLU dresidual is dy itself
                  if (need_dx) grads[0] = Tensor::empty(x.shape(), x.dtype(), x.device());
                  if (need_dresidual) grads[3] = copy ? Tensor::empty(x.shape(), x.dtype(), x.device()) : dy;
                  grads[1] = gradient_memory(gamma);
                  grads[2] = gradient_memory(beta);
                  kernels::launch(kernels::BatchNormBackward{.x = x.in(),
                                                             .dy = dy.in(),
                                                             .y = y.in(),
                                                             .gamma = gamma.in(),
                                                             .beta = beta.in(),
                                                             .mean = mean.in(),
                                                             .inv_std = inv_std.in(),
                                                             .dx = need_dx ? grads[0].out() : Out{},
                                                             .dresidual = copy ? grads[3].out() : Out{},
                                                             .dgamma = grads[1].out(),
                                                             .dbeta = grads[2].out(),
                                                             .rows = rows,
                                                             .channels = channels,
                                                             .relu = relu,
                                                             .training = training},
                                  dy.stream());
                  return grads;
                });
}

}  // namespace gestalt
