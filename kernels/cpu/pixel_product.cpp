// y = pixels · wᵀ and its gradients, where pixels (outputs, I) are those of x that outputs see.
#include "kernels/cpu/pixel_product.h"

#include <algorithm>
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

// Outputs from pixels and filters, pixels' gradient from the outputs' and filters, filters' gradient from the outputs'
// and pixels.
Product output_product(const ConvShape& s, In pixels, In w, Out y) {
  return {.a = pixels,
          .b = w,
          .bias = {},
          .c = y,
          .m = outputs_of(s),
          .n = s.out_channels,
          .k = s.in_channels,
          .transpose_b = true};
}
Product input_product(const ConvShape& s, In dy, In w, Out pixels) {
  return {.a = dy, .b = w, .bias = {}, .c = pixels, .m = outputs_of(s), .n = s.in_channels, .k = s.out_channels};
}
Product filter_product(const ConvShape& s, In dy, In pixels, Out dw) {
  return {.a = dy,
          .b = pixels,
          .bias = {},
          .c = dw,
          .m = s.out_channels,
          .n = s.in_channels,
          .k = outputs_of(s),
          .transpose_a = true};
}

// The gathered pixels, and what the product takes.
struct Memory {
  std::byte *pixels, *product;

  Memory(Scratch& scratch, const ConvShape& s, DType dtype, int64_t product_bytes)
      : pixels(scratch.take<std::byte>(outputs_of(s) * s.in_channels * size_of(dtype))),
        product(scratch.take<std::byte>(product_bytes)) {}
  Memory(Stream stream, const ConvShape& s, DType dtype) {
    Scratch scratch(stream.scratch);
    *this = Memory(scratch, s, dtype, 0);
  }

  Stream of(Stream stream) const {
    stream.scratch = product;
    return stream;
  }
};

}  // namespace

bool serves(const ConvShape& s, DType dtype) {
  return s.kernel_height == 1 && s.kernel_width == 1 && s.stride > 1 && dtype != DType::f64;
}

int64_t scratch_bytes(const ConvShape& s, DType dtype) {
  const In none{nullptr, dtype};
  const int64_t product = std::max({cpu::scratch_bytes(output_product(s, none, none, {nullptr, dtype})),
                                    cpu::scratch_bytes(input_product(s, none, none, {nullptr, dtype})),
                                    cpu::scratch_bytes(filter_product(s, none, none, {}))});
  return bytes_of<Memory>(s, dtype, product);
}

void forward(const Conv& k, Stream stream) {
  const Memory memory(stream, k.shape, k.x.dtype);
  gather(k.shape, k.x, memory.pixels);
  run(output_product(k.shape, {memory.pixels, k.x.dtype}, k.w, k.y), memory.of(stream));
}

void backward_input(const ConvBackwardInput& k, Stream stream) {
  const Memory memory(stream, k.shape, k.dx.dtype);
  run(input_product(k.shape, k.dy, k.w, {memory.pixels, k.dx.dtype}), memory.of(stream));
  scatter(k.shape, memory.pixels, k.dx);
}

void backward_weights(const ConvBackwardWeights& k, Stream stream) {
  const Memory memory(stream, k.shape, k.x.dtype);
  gather(k.shape, k.x, memory.pixels);
  run(filter_product(k.shape, k.dy, {memory.pixels, k.x.dtype}, k.dw), memory.of(stream));
}

}  // namespace gestalt::kernels::cpu::pixel_product
