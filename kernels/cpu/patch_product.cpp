// dw = dyᵀ · patches by blocks of outputs: a block of dy and of one panel of its patches, laid out for the product in
// buffers that stay in a core's caches.
#include "kernels/cpu/patch_product.h"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"

namespace gestalt::kernels::cpu::patch_product {
namespace {

constexpr int64_t width = tile_columns<float>;  // of a panel, in channels
constexpr int64_t rows = 64;                    // of a panel

// What a panel of T holds: numbers, or for bf16 the pairs that the product takes; and how many outputs its rows are.
template <class T>
using Packed = std::conditional_t<std::is_same_v<T, BFloat16>, Pair, T>;
template <class T>
constexpr int64_t depth = rows * sizeof(Packed<T>) / sizeof(T);

template <class T>
constexpr std::array<T, width> zeros{};

// Goes from output to output of a convolution, to the input that one of a filter's taps meets there.
template <class T>
class Tap {
 public:
  // The tap and channel that `column` of the filters (O, KH·KW·I) is, from output `first` on.
  Tap(const T* x, const ConvShape& s, int64_t column, int64_t first)
      : x_(x + column % s.in_channels),
        s_(s),
        top_(column / s.in_channels / s.kernel_width - s.padding),
        left_(column / s.in_channels % s.kernel_width - s.padding),
        image_(first / (s.out_width() * s.out_height())),
        i_(first / s.out_width() % s.out_height()),
        j_(first % s.out_width()) {}

  // Channels from the column's on, then goes on. Zeros where the tap is outside x, and after the last output.
  const T* next() {
    const int64_t h = i_ * s_.stride + top_, w = j_ * s_.stride + left_;
    const bool inside = h >= 0 && h < s_.height && w >= 0 && w < s_.width && image_ < s_.batch;
    const T* pixel = inside ? x_ + ((image_ * s_.height + h) * s_.width + w) * s_.in_channels : zeros<T>.data();
    // About where the same tap is in the next block: strides defeat the processor's own prefetching.
    __builtin_prefetch(pixel + depth<T> * s_.stride * s_.stride * s_.in_channels, 0, 2);
    if (++j_ == s_.out_width()) j_ = 0, ++i_;
    if (i_ == s_.out_height()) i_ = 0, ++image_;
    return pixel;
  }

 private:
  const T* x_;
  ConvShape s_;
  int64_t top_, left_, image_, i_, j_;
};

void pack(Tap<float> tap, float* panel) {
  for (int64_t l = 0; l < rows; ++l) std::copy_n(tap.next(), width, panel + l * width);
}
void pack(Tap<BFloat16> tap, Pair* panel) {
  for (int64_t l = 0; l < rows; ++l) {
    const BFloat16 *first = tap.next(), *second = tap.next();
    for (int64_t j = 0; j < width; ++j) panel[l * width + j] = {first[j], second[j]};
  }
}

template <class T>
void backward_weights(const ConvBackwardWeights& k) {
  const ConvShape& s = k.shape;
  const T *x = k.x.as<T>(), *dy = k.dy.as<T>();
  float* dw = k.dw.as<float>();
  const int64_t out = s.out_channels, outputs = s.batch * s.out_height() * s.out_width();
  const int64_t columns = s.kernel_height * s.kernel_width * s.in_channels, panels = out / width;
  const ConvShape identity{s.batch, s.out_height(), s.out_width(), out, out, 1, 1, 1, 0};  // its patches are dy itself
  // Tiles of width × width numbers of dw, those of the same patches one after another. Each range lays out all of dy,
  // so there are few.
  const int64_t tiles = columns / width * panels;
  parallel_ranges(tiles, std::max(panels, (tiles + 15) / 16), [&](int64_t begin, int64_t end) {
    std::vector<Packed<T>> d(static_cast<size_t>(rows * out));
    alignas(vector_bytes) Packed<T> patches[rows * width];
    for (int64_t first = 0; first < outputs; first += depth<T>) {
      for (int64_t o = 0; o < out; o += width) pack(Tap<T>(dy, identity, o, first), d.data() + o * rows);
      for (int64_t tile = begin; tile < end; ++tile) {
        const int64_t column = tile / panels * width, o = tile % panels * width;
        if (tile == begin || o == 0) pack(Tap<T>(x, s, column, first), patches);
        const auto product = first == 0 ? tile_product<Packed<T>, Layout::transposed, Layout::panels, false>
                                        : tile_product<Packed<T>, Layout::transposed, Layout::panels, true>;
        product(d.data() + o * rows, width, patches, 0, width, width, rows, dw + o * columns + column, columns);
      }
    }
  });
}

}  // namespace

bool serves(const ConvShape& s, DType dtype) {
  static const bool matrix_units = onednn::has_matrix_units();
  if (vector_bytes < 32 || s.in_channels % width != 0 || s.out_channels % width != 0) return false;
  if (s.kernel_height * s.kernel_width == 1 || s.batch * s.out_height() * s.out_width() < rows) return false;
  // oneDNN is as fast in f32 but where its loops over output rows are short.
  return dtype == DType::bf16 ? !matrix_units : dtype == DType::f32 && s.out_width() <= 4;
}

void backward_weights(const ConvBackwardWeights& k) {
  k.x.dtype == DType::f32 ? backward_weights<float>(k) : backward_weights<BFloat16>(k);
}

}  // namespace gestalt::kernels::cpu::patch_product
