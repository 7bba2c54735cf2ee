// Convolution on the CPU: Winograd or a product of patches or pixels where they serve, else groups of images by oneDNN,
// for f32 and bf16 (in f32, where the processor has no bf16); a plain loop for f64.
#include "kernels/conv.h"

#include <algorithm>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/patch_product.h"
#include "kernels/cpu/pixel_product.h"
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

int64_t inputs_of(const ConvShape& s) { return s.batch * s.height * s.width * s.in_channels; }
int64_t filters_of(const ConvShape& s) { return s.out_channels * s.kernel_height * s.kernel_width * s.in_channels; }
int64_t outputs_of(const ConvShape& s) { return s.batch * s.out_height() * s.out_width() * s.out_channels; }

// Operands of a bf16 convolution in f32, and the memory that it takes in f32 then. Winograd reads bf16 itself.
struct Widened {
  float *first, *second, *result = nullptr;
  std::byte* rest;

  Widened(Scratch& scratch, int64_t first_count, int64_t second_count, int64_t result_count, int64_t rest_bytes)
      : first(scratch.take<float>(first_count)), second(scratch.take<float>(second_count)) {
    if (result_count > 0) result = scratch.take<float>(result_count);
    rest = scratch.take<std::byte>(rest_bytes);
  }
};

bool is_widened(const ConvShape& s, DType dtype) { return cpu::is_widened(dtype) && !winograd::serves(s, dtype); }

// The groups of images that oneDNN works on, one thread each: of so many outputs that laying out the filters anew is
// little beside multiplying them, and no more than `most`.
int64_t image_groups(const ConvShape& s, int64_t most) {
  const int64_t outputs = s.batch * s.out_height() * s.out_width();
  return std::clamp<int64_t>(outputs / 256, 1, std::min(most, s.batch));
}

// Calls f(group's number, its first image, its shape) for each, by the team.
template <class F>
void for_each_group(const ConvShape& s, int64_t groups, F&& f) {
  parallel_pieces(groups, [&](int64_t g) {
    const int64_t first = s.batch * g / groups;
    ConvShape part = s;
    part.batch = s.batch * (g + 1) / groups - first;
    f(g, first, part);
  });
}

constexpr int64_t forward_groups = 64, weight_groups = 16;  // each of the latter has filters of its own

// Working memory of a convolution in a dtype that the processor multiplies; `filters`: of their gradient.
int64_t rest_bytes(const ConvShape& s, DType dtype, bool filters) {
  if (pixel_product::serves(s, dtype)) return pixel_product::scratch_bytes(s, dtype);
  const int64_t groups = filters && dtype != DType::f64 ? image_groups(s, weight_groups) : 1;
  return groups > 1 ? groups * filters_of(s) * size_of(DType::f32) : 0;
}

// Of a convolution with two operands of these sizes, and a result that is rounded at the end (or 0: filters' gradient).
int64_t scratch_bytes(const ConvShape& s, DType dtype, int64_t first, int64_t second, int64_t result) {
  if (!is_widened(s, dtype)) return rest_bytes(s, dtype, result == 0);
  return bytes_of<Widened>(first, second, result, rest_bytes(s, DType::f32, result == 0));
}

// Runs `k`, whose operands are `first` and `second`, on copies of them in f32. `result` is rounded, or f32 (count 0).
template <class Args>
void run_widened(Args k, In Args::*first, int64_t first_count, In Args::*second, int64_t second_count,
                 Out Args::*result, int64_t result_count, Stream stream) {
  Scratch scratch(stream.scratch);
  const Widened wide(scratch, first_count, second_count, result_count,
                     rest_bytes(k.shape, DType::f32, result_count == 0));
  const Out rounded = k.*result;
  k.*first = widen(k.*first, first_count, wide.first);
  k.*second = widen(k.*second, second_count, wide.second);
  if (wide.result) k.*result = {wide.result, DType::f32};
  stream.scratch = wide.rest;
  run(k, stream);
  if (wide.result) narrow(wide.result, result_count, rounded);
}

// Images by the group from operand `in` to `out`, which hold so many numbers.
template <class Args>
void convolve_groups(const Args& k, In Args::*in, int64_t in_count, Out Args::*out, int64_t out_count,
                     void (*convolve)(const Args&)) {
  const ConvShape& s = k.shape;
  for_each_group(s, image_groups(s, forward_groups), [&](int64_t, int64_t image, const ConvShape& part) {
    Args of = k;
    of.shape = part;
    of.*in = (k.*in).from(in_count / s.batch * image);
    of.*out = (k.*out).from(out_count / s.batch * image);
    convolve(of);
  });
}

// Each group's filters, and then their sum, in the groups' order.
void sum_groups(const ConvBackwardWeights& k, float* partial) {
  const ConvShape& s = k.shape;
  const int64_t groups = image_groups(s, weight_groups), count = filters_of(s);
  for_each_group(s, groups, [&](int64_t group, int64_t image, const ConvShape& part) {
    ConvBackwardWeights of = k;
    of.shape = part;
    of.x = k.x.from(inputs_of(s) / s.batch * image);
    of.dy = k.dy.from(outputs_of(s) / s.batch * image);
    if (groups > 1) of.dw = {partial + group * count, DType::f32};
    onednn::conv_backward_weights(of);
  });
  if (groups == 1) return;
  float* dw = k.dw.as<float>();
  parallel_ranges(count, 1 << 13, [&](int64_t begin, int64_t end) {
    std::copy(partial + begin, partial + end, dw + begin);
    for (int64_t group = 1; group < groups; ++group) {
      const float* more = partial + group * count;
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) dw[i] += more[i];
    }
  });
}

}  // namespace

int64_t scratch_bytes(const Conv& k) {
  return scratch_bytes(k.shape, k.x.dtype, inputs_of(k.shape), filters_of(k.shape), outputs_of(k.shape));
}
int64_t scratch_bytes(const ConvBackwardInput& k) {
  return scratch_bytes(k.shape, k.dy.dtype, outputs_of(k.shape), filters_of(k.shape), inputs_of(k.shape));
}
int64_t scratch_bytes(const ConvBackwardWeights& k) {
  return scratch_bytes(k.shape, k.x.dtype, inputs_of(k.shape), outputs_of(k.shape), 0);
}

void run(const Conv& k, Stream stream) {
  if (is_widened(k.shape, k.x.dtype))
    return run_widened(k, &Conv::x, inputs_of(k.shape), &Conv::w, filters_of(k.shape), &Conv::y, outputs_of(k.shape),
                       stream);
  if (winograd::serves(k.shape, k.x.dtype)) return winograd::forward(k);
  if (pixel_product::serves(k.shape, k.x.dtype)) return pixel_product::forward(k, stream);
  if (k.x.dtype != DType::f64)
    return convolve_groups(k, &Conv::x, inputs_of(k.shape), &Conv::y, outputs_of(k.shape), onednn::conv_forward);
  const double *x = k.x.as<double>(), *w = k.w.as<double>();
  double* y = k.y.as<double>();
  const ConvShape& s = k.shape;
  std::fill_n(y, s.batch * s.out_height() * s.out_width() * s.out_channels, 0.0);
  for_each_product(s, [&](int64_t ix, int64_t iw, int64_t iy) { y[iy] += x[ix] * w[iw]; });
}

void run(const ConvBackwardInput& k, Stream stream) {
  using Args = ConvBackwardInput;
  if (is_widened(k.shape, k.dy.dtype))
    return run_widened(k, &Args::dy, outputs_of(k.shape), &Args::w, filters_of(k.shape), &Args::dx, inputs_of(k.shape),
                       stream);
  if (winograd::serves(k.shape, k.dy.dtype)) return winograd::backward_input(k);
  if (pixel_product::serves(k.shape, k.dy.dtype)) return pixel_product::backward_input(k, stream);
  if (k.dy.dtype != DType::f64)
    return convolve_groups(k, &Args::dy, outputs_of(k.shape), &Args::dx, inputs_of(k.shape),
                           onednn::conv_backward_input);
  const double *dy = k.dy.as<double>(), *w = k.w.as<double>();
  double* dx = k.dx.as<double>();
  const ConvShape& s = k.shape;
  std::fill_n(dx, s.batch * s.height * s.width * s.in_channels, 0.0);
  for_each_product(s, [&](int64_t ix, int64_t iw, int64_t iy) { dx[ix] += dy[iy] * w[iw]; });
}

void run(const ConvBackwardWeights& k, Stream stream) {
  using Args = ConvBackwardWeights;
  if (is_widened(k.shape, k.x.dtype))
    return run_widened(k, &Args::x, inputs_of(k.shape), &Args::dy, outputs_of(k.shape), &Args::dw, 0, stream);
  if (winograd::serves(k.shape, k.x.dtype)) return winograd::backward_weights(k);
  if (patch_product::serves(k.shape, k.x.dtype)) return patch_product::backward_weights(k);
  if (pixel_product::serves(k.shape, k.x.dtype)) return pixel_product::backward_weights(k, stream);
  if (k.x.dtype != DType::f64) return sum_groups(k, static_cast<float*>(stream.scratch));
  const double *x = k.x.as<double>(), *dy = k.dy.as<double>();
  double* dw = k.dw.as<double>();
  const ConvShape& s = k.shape;
  std::fill_n(dw, s.out_channels * s.kernel_height * s.kernel_width * s.in_channels, 0.0);
  for_each_product(s, [&](int64_t ix, int64_t iw, int64_t iy) { dw[iw] += x[ix] * dy[iy]; });
}

}  // namespace gestalt::kernels::cpu
