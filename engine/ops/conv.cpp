// Convolution with its gradients.
#include "engine/ops/conv.h"

#include "engine/tensor/autograd.h"
#include "kernels/conv.h"

namespace gestalt {

Tensor conv2d(const Tensor& x, const Tensor& w, int64_t stride, int64_t padding) {
  check(x.rank() == 4 && w.rank() == 4 && x.dim(3) == w.dim(3),
        "[conv2d] got x {} and w {}, expected (N, H, W, I) and (O, KH, KW, I)", x.shape().text(), w.shape().text());
  const kernels::ConvShape s{x.dim(0), x.dim(1), x.dim(2), x.dim(3), w.dim(0), w.dim(1), w.dim(2), stride, padding};
  check(stride >= 1 && padding >= 0 && s.out_height() > 0 && s.out_width() > 0,
        "[conv2d] got x {}, w {}, stride {}, padding {}: the result would be empty", x.shape().text(), w.shape().text(),
        stride, padding);
  const Tensor operand = w.as_operand(x.dtype());
  Tensor y = Tensor::empty({s.batch, s.out_height(), s.out_width(), s.out_channels}, x.dtype(), x.device());
  kernels::launch(kernels::Conv{x.in(), operand.in(), y.out(), s}, x.stream());
  return record("conv2d", y, {x, w},
                [x = x.detach(), w, operand, s, need_dx = x.requires_grad()](const Tensor& dy) -> Grads {
                  Tensor dx, dw;
                  if (need_dx) {
                    dx = Tensor::empty(x.shape(), x.dtype(), x.device());
                    kernels::launch(kernels::ConvBackwardInput{dy.in(), operand.in(), dx.out(), s}, dy.stream());
                  }
                  if (w.requires_grad()) {
                    dw = Tensor::empty(w.shape(), accumulator_of(w.dtype()), w.device());
                    kernels::launch(kernels::ConvBackwardWeights{x.in(), dy.in(), dw.out(), s}, dy.stream());
                    dw = dw.to(w.dtype());
                  }
                  return {dx, dw};
                });
}

}  // namespace gestalt
