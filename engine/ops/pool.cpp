// Pooling with its gradients.
#include "engine/ops/pool.h"

#include "engine/tensor/autograd.h"
#include "kernels/pool.h"

namespace gestalt {
namespace {

kernels::PoolShape pool_shape(const char* op, const Tensor& x, int64_t kernel, int64_t stride, int64_t padding) {
  check(x.rank() == 4, "[{}] got x {}, expected (N, H, W, C)", op, x.shape().text());
  check(kernel >= 1 && kernel <= 16 && stride >= 1 && padding >= 0 && padding <= kernel / 2,
        "[{}] got kernel {}, stride {}, padding {}, expected a kernel of 1 to 16 and at most half of it padding", op,
        kernel, stride, padding);
  const kernels::PoolShape s{x.dim(0), x.dim(1), x.dim(2), x.dim(3), kernel, stride, padding};
  check(x.dim(1) + 2 * padding >= kernel && x.dim(2) + 2 * padding >= kernel,
        "[{}] got x {} and kernel {}: the result would be empty", op, x.shape().text(), kernel);
  return s;
}

Tensor pooled(const Tensor& x, const kernels::PoolShape& s, DType dtype) {
  return Tensor::empty({s.batch, s.out_height(), s.out_width(), s.channels}, dtype, x.device());
}

Tensor unpooled(const Tensor& dy, const kernels::PoolShape& s) {
  return Tensor::empty({s.batch, s.height, s.width, s.channels}, dy.dtype(), dy.device());
}

}  // namespace

Tensor max_pool2d(const Tensor& x, int64_t kernel, int64_t stride, int64_t padding) {
  const kernels::PoolShape s = pool_shape("max_pool2d", x, kernel, stride, padding);
  Tensor y = pooled(x, s, x.dtype()), index = recording({x}) ? pooled(x, s, DType::u8) : Tensor();
  kernels::launch(kernels::MaxPool{x.in(), y.out(), index ? index.out() : Out{}, s}, x.stream());
  return record("max_pool2d", y, {x}, [index, s](const Tensor& dy) -> Grads {
    Tensor dx = unpooled(dy, s);
    kernels::launch(kernels::MaxPoolBackward{dy.in(), index.in(), dx.out(), s}, dy.stream());
    return {dx};
  });
}

Tensor average_pool2d(const Tensor& x, int64_t kernel, int64_t stride, int64_t padding) {
  const kernels::PoolShape s = pool_shape("average_pool2d", x, kernel, stride, padding);
  Tensor y = pooled(x, s, x.dtype());
  kernels::launch(kernels::AveragePool{x.in(), y.out(), s}, x.stream());
  return record("average_pool2d", y, {x}, [s](const Tensor& dy) -> Grads {
    Tensor dx = unpooled(dy, s);
    kernels::launch(kernels::AveragePoolBackward{dy.in(), dx.out(), s}, dy.stream());
    return {dx};
  });
}

Tensor global_average_pool(const Tensor& x) {
  check(x.rank() >= 3 && x.count() > 0, "[global_average_pool] got x {}, expected (N, H, W, C) or (N, T, C)",
        x.shape().text());
  const int64_t batch = x.dim(0), channels = x.dim(-1), positions = x.count() / (batch * channels);
  Tensor y = Tensor::empty({batch, channels}, x.dtype(), x.device());
  kernels::launch(kernels::GlobalAveragePool{x.in(), y.out(), batch, positions, channels}, x.stream());
  return record(
      "global_average_pool", y, {x}, [shape = x.shape(), batch, positions, channels](const Tensor& dy) -> Grads {
        Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
        kernels::launch(kernels::GlobalAveragePoolBackward{dy.in(), dx.out(), batch, positions, channels}, dy.stream());
        return {dx};
      });
}

}  // namespace gestalt
