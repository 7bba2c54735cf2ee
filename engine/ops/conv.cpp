// Convolution and transposed convolution: each is the other's gradient with respect to its input.
#include "engine/ops/conv.h"

#include "engine/tensor/autograd.h"
#include "kernels/conv.h"

namespace gestalt {
namespace {

// In all three, `s` is the convolution's shape, images (N, height, width, in_channels) its input and maps
// (N, out_height, out_width, out_channels) its result.
Tensor to_maps(const Tensor& images, const Tensor& operand, const kernels::ConvShape& s) {
  Tensor maps =
      Tensor::empty({s.batch, s.out_height(), s.out_width(), s.out_channels}, images.dtype(), images.device());
  kernels::launch(kernels::Conv{images.in(), operand.in(), maps.out(), s}, images.stream());
  return maps;
}

Tensor to_images(const Tensor& maps, const Tensor& operand, const kernels::ConvShape& s) {
  Tensor images = Tensor::empty({s.batch, s.height, s.width, s.in_channels}, maps.dtype(), maps.device());
  kernels::launch(kernels::ConvBackwardInput{maps.in(), operand.in(), images.out(), s}, maps.stream());
  return images;
}

Tensor filter_gradient(const Tensor& images, const Tensor& maps, const Tensor& w, const kernels::ConvShape& s) {
  const DType dtype = accumulator_of(w.dtype());
  Tensor dw = dtype == w.dtype() ? gradient_memory(w) : Tensor::empty(w.shape(), dtype, w.device());
  kernels::launch(kernels::ConvBackwardWeights{images.in(), maps.in(), dw.out(), s}, images.stream());
  return dw.to(w.dtype());
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, int64_t stride, int64_t padding) {
  check(x.rank() == 4 && w.rank() == 4 && x.dim(3) == w.dim(3),
        "[conv2d] got x {} and w {}, expected (N, H, W, I) and (O, KH, KW, I)", x.shape().text(), w.shape().text());
  const kernels::ConvShape s{.batch = x.dim(0),
                             .height = x.dim(1),
                             .width = x.dim(2),
                             .in_channels = x.dim(3),
                             .out_channels = w.dim(0),
                             .kernel_height = w.dim(1),
                             .kernel_width = w.dim(2),
                             .stride = stride,
                             .padding = padding};
  check(stride >= 1 && padding >= 0 && s.out_height() > 0 && s.out_width() > 0,
        "[conv2d] got x {}, w {}, stride {}, padding {}: the result would be empty", x.shape().text(), w.shape().text(),
        stride, padding);
  const Tensor operand = w.as_operand(x.dtype());
  return record("conv2d", to_maps(x, operand, s), {x, w},
                [x = x.detach(), w, operand, s, need_dx = x.requires_grad()](const Tensor& dy) -> Grads {
                  return {need_dx ? to_images(dy, operand, s) : Tensor(),
                          w.requires_grad() ? filter_gradient(x, dy, w, s) : Tensor()};
                });
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& w, int64_t stride, int64_t padding) {
  check(x.rank() == 4 && w.rank() == 4 && x.dim(3) == w.dim(0),
        "[conv_transpose2d] got x {} and w {}, expected (N, H, W, I) and (I, KH, KW, O)", x.shape().text(),
        w.shape().text());
  const kernels::ConvShape s{.batch = x.dim(0),
                             .height = (x.dim(1) - 1) * stride - 2 * padding + w.dim(1),
                             .width = (x.dim(2) - 1) * stride - 2 * padding + w.dim(2),
                             .in_channels = w.dim(3),
                             .out_channels = w.dim(0),
                             .kernel_height = w.dim(1),
                             .kernel_width = w.dim(2),
                             .stride = stride,
                             .padding = padding};
  check(stride >= 1 && padding >= 0 && s.height > 0 && s.width > 0,
        "[conv_transpose2d] got x {}, w {}, stride {}, padding {}: the result would be empty", x.shape().text(),
        w.shape().text(), stride, padding);
  const Tensor operand = w.as_operand(x.dtype());
  return record("conv_transpose2d", to_images(x, operand, s), {x, w},
                [x = x.detach(), w, operand, s, need_dx = x.requires_grad()](const Tensor& dy) -> Grads {
                  return {need_dx ? to_maps(dy, operand, s) : Tensor(),
                          w.requires_grad() ? filter_gradient(dy, x, w, s) : Tensor()};
                });
}

}  // namespace gestalt
