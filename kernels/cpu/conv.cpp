// Convolution on the CPU: Winograd or a product of patches where they serve, else oneDNN, for f32 and bf16; a plain
// loop for f64.
#include "kernels/conv.h"

#include <algorithm>

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/patch_product.h"
#include "kernels/cpu/winograd.h"

namespace gestalt::kernels::cpu {
namespace {

// Calls f(x_index, w_index, y_index) for every product of the convolution.
template <class F>
void for_each_product(const ConvShape& s, F&& f) {
  const int64_t oh = s.out_height(), ow = s.out_width();
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t i = 0; i < oh; ++i)
      for (int64_t j = 0; j < ow; ++j)
        for (int64_t u = 0; u < s.kernel_height; ++u)
          for (int64_t v = 0; v < s.kernel_width; ++v) {
            const int64_t h = i * s.stride + u - s.padding, w = j * s.stride + v - s.padding;
            if (h < 0 || h >= s.height || w < 0 || w >= s.width) continue;
            for (int64_t o = 0; o < s.out_channels; ++o)
              for (int64_t c = 0; c < s.in_channels; ++c)
                f(((n * s.height + h) * s.width + w) * s.in_channels + c,
                  ((o * s.kernel_height + u) * s.kernel_width + v) * s.in_channels + c,
                  ((n * oh + i) * ow + j) * s.out_channels + o);
          }
}

}  // namespace

void run(const Conv& k, Stream) {
  if (winograd::serves(k.shape, k.x.dtype)) return winograd::forward(k);
  if (k.x.dtype != DType::f64) return onednn::conv_forward(k);
  const double *x = k.x.as<double>(), *w = k.w.as<double>();
  double* y = k.y.as<double>();
  const ConvShape& s = k.shape;
  std::fill_n(y, s.batch * s.out_height() * s.out_width() * s.out_channels, 0.0);
  for_each_product(s, [&](int64_t ix, int64_t iw, int64_t iy) { y[iy] += x[ix] * w[iw]; });
}

void run(const ConvBackwardInput& k, Stream) {
  if (winograd::serves(k.shape, k.dy.dtype)) return winograd::backward_input(k);
  if (k.dy.dtype != DType::f64) return onednn::conv_backward_input(k);
  const double *dy = k.dy.as<double>(), *w = k.w.as<double>();
  double* dx = k.dx.as<double>();
  const ConvShape& s = k.shape;
  std::fill_n(dx, s.batch * s.height * s.width * s.in_channels, 0.0);
  for_each_product(s, [&](int64_t ix, int64_t iw, int64_t iy) { dx[ix] += dy[iy] * w[iw]; });
}

void run(const ConvBackwardWeights& k, Stream) {
  if (winograd::serves(k.shape, k.x.dtype)) return winograd::backward_weights(k);
  if (patch_product::serves(k.shape, k.x.dtype)) return patch_product::backward_weights(k);
  if (k.x.dtype != DType::f64) return onednn::conv_backward_weights(k);
  const double *x = k.x.as<double>(), *dy = k.dy.as<double>();
  double* dw = k.dw.as<double>();
  const ConvShape& s = k.shape;
  std::fill_n(dw, s.out_channels * s.kernel_height * s.kernel_width * s.in_channels, 0.0);
  for_each_product(s, [&](int64_t ix, int64_t iw, int64_t iy) { dw[iw] += x[ix] * dy[iy]; });
}

}  // namespace gestalt::kernels::cpu
