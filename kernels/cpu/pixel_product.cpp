// y = pixels · wᵀ and its gradients, where pixels (outputs, I) are those of x that outputs see.
#include "kernels/cpu/pixel_product.h"

#include <cstring>

#include "kernels/cpu/parallel.h"
#include "kernels/product.h"

namespace gestalt::kernels::cpu::pixel_product {
namespace {

int64_t outputs_of(const ConvShape& s) { return s.batch * s.out_height() * s.out_width(); }

// Rows of images that are worth a thread of their own.
int64_t grain_of(int64_t row_bytes) { return 1 + (1 << 15) / (row_bytes + 1); }

// Where outputs see nothing but padding, pixels are zeros.
void gather(const ConvShape& s, In x, void* pixels) {
  const int64_t pixel_bytes = s.in_channels * size_of(x.dtype), row_bytes = s.out_width() * pixel_bytes;
  const auto* from = static_cast<const std::byte*>(x.data);
  parallel_ranges(s.batch * s.out_height(), grain_of(row_bytes), [&](int64_t begin, int64_t end) {
    auto* to = static_cast<std::byte*>(pixels) + begin * row_bytes;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t image = row / s.out_height(), h = row % s.out_height() * s.stride - s.padding;
      for (int64_t j = 0; j < s.out_width(); ++j, to += pixel_bytes) {
        const int64_t w = j * s.stride - s.padding;
        if (h >= 0 && h < s.height && w >= 0 && w < s.width)
          std::memcpy(to, from + ((image * s.height + h) * s.width + w) * pixel_bytes,
                      static_cast<size_t>(pixel_bytes));
        else
          std::memset(to, 0, static_cast<size_t>(pixel_bytes));
      }
    }
  });
}

// The other way: dx is zero where no output sees it.
void scatter(const ConvShape& s, const void* pixels, Out dx) {
  const int64_t pixel_bytes = s.in_channels * size_of(dx.dtype), row_bytes = s.width * pixel_bytes;
  const auto* from = static_cast<const std::byte*>(pixels);
  parallel_ranges(s.batch * s.height, grain_of(row_bytes), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      auto* to = static_cast<std::byte*>(dx.data) + row * row_bytes;
      std::memset(to, 0, static_cast<size_t>(row_bytes));
      const int64_t image = row / s.height, h = row % s.height + s.padding, i = h / s.stride;
      if (h % s.stride != 0 || i >= s.out_height()) continue;
      for (int64_t j = 0; j < s.out_width(); ++j) {
        const int64_t w = j * s.stride - s.padding;
        if (w < 0 || w >= s.width) continue;
        std::memcpy(to + w * pixel_bytes, from + ((image * s.out_height() + i) * s.out_width() + j) * pixel_bytes,
                    static_cast<size_t>(pixel_bytes));
      }
    }
  });
}

}  // namespace

bool serves(const ConvShape& s, DType dtype) {
  return s.kernel_height == 1 && s.kernel_width == 1 && s.stride > 1 && dtype != DType::f64;
}

int64_t scratch_bytes(const ConvShape& s, DType dtype) { return outputs_of(s) * s.in_channels * size_of(dtype); }

void forward(const Conv& k, Stream stream) {
  const ConvShape& s = k.shape;
  gather(s, k.x, stream.scratch);
  run(Product{.a = {stream.scratch, k.x.dtype},
              .b = k.w,
              .bias = {},
              .c = k.y,
              .m = outputs_of(s),
              .n = s.out_channels,
              .k = s.in_channels,
              .transpose_b = true},
      stream);
}

void backward_input(const ConvBackwardInput& k, Stream stream) {
  const ConvShape& s = k.shape;
  run(Product{.a = k.dy,
              .b = k.w,
              .bias = {},
              .c = {stream.scratch, k.dx.dtype},
              .m = outputs_of(s),
              .n = s.in_channels,
              .k = s.out_channels},
      stream);
  scatter(s, stream.scratch, k.dx);
}

void backward_weights(const ConvBackwardWeights& k, Stream stream) {
  const ConvShape& s = k.shape;
  gather(s, k.x, stream.scratch);
  run(Product{.a = k.dy,
              .b = {stream.scratch, k.x.dtype},
              .bias = {},
              .c = k.dw,
              .m = s.out_channels,
              .n = s.in_channels,
              .k = outputs_of(s),
              .transpose_a = true},
      stream);
}

}  // namespace gestalt::kernels::cpu::pixel_product
