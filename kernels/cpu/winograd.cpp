// Winograd convolution of 3 × 3 filters by tiles of 4 × 4 outputs: 36 products instead of 144 at stride 1, 81 at
// stride 2.
//
// y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ x B)]A for every tile and pair of channels. Summed over input channels, each of the points
// is a matrix product (tiles × C)·(C × O); that is where the time goes. Transforms work on one vector of channels.
#include "kernels/cpu/winograd.h"

#include <type_traits>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd_tiles.h"

namespace gestalt::kernels::cpu::winograd {
namespace {

// A pass that convolves: its tiles read squares that begin `margin` pixels before the tile.
template <class Lines>
struct ForwardPass {
  using Stride = Lines;
  using Input = typename Lines::Input;
  using Output = typename Lines::Output;
  static constexpr int64_t margin = 1;
};
template <class Lines>
struct BackwardPass {
  using Stride = Lines;
  using Input = typename Lines::BackwardInput;
  using Output = typename Lines::BackwardOutput;
  static constexpr int64_t margin = Lines::backward_margin;
};

// The forward pass's filters w (O, 3, 3, I), transformed: outputs [first, first + count) as panels of (I, count).
template <class Lines, class T>
void transform_filters(ForwardPass<Lines>, const T* w, int64_t ins, int64_t, int64_t first, int64_t count,
                       const Planes& u) {
  parallel_ranges(ins / lanes, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin * lanes; c < end * lanes; c += lanes)
      for (int64_t o = 0; o < count; o += lanes) {
        Vector taps[9][lanes];
        for (int64_t tap = 0; tap < 9; ++tap) {
          for (int64_t j = 0; j < lanes; ++j) taps[tap][j] = load(w + ((first + o + j) * 9 + tap) * ins + c);
          transpose(taps[tap]);
        }
        for (int64_t i = 0; i < lanes; ++i) {
          Square<3> g;
          for (size_t tap = 0; tap < 9; ++tap) g[tap / 3][tap % 3] = taps[tap][i];
          u.scatter(transform<typename Lines::Filter>(g), in_panel(c + i, o, ins, count));
        }
      }
  });
}

// The same for the gradient with respect to the input, whose outputs are the forward pass's inputs: w (I, 3, 3, O)
// turned by half a turn.
template <class Lines, class T>
void transform_filters(BackwardPass<Lines>, const T* w, int64_t ins, int64_t outs, int64_t first, int64_t count,
                       const Planes& u) {
  parallel_ranges(ins, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t o = 0; o < count; o += lanes) {
        Square<3> g;
        for (size_t tap = 0; tap < 9; ++tap)
          g[2 - tap / 3][2 - tap % 3] = load(w + (i * 9 + static_cast<int64_t>(tap)) * outs + first + o);
        u.scatter(transform<typename Lines::Filter>(g), in_panel(i, o, ins, count));
      }
  });
}

// Tile first + t of y's channels [channel, channel + width), from row t of m.
template <class Line, bool streams, class T>
void write_tiles(const Planes& m, const Tiles& tiles, int64_t first, int64_t count, int64_t channel, int64_t width,
                 const Images<T>& y) {
  constexpr int64_t extent = Line::out;
  for (int64_t t = 0; t < count; ++t) {
    const Tiles::Place tile = tiles.place(first + t);
    const int64_t top = tile.top * y.pixels, left = tile.left * y.pixels;
    const int64_t rows = std::min(extent, y.height - top), columns = std::min(extent, y.width - left);
    T* to = y.at(tile.image, top, left) + channel;
    for (int64_t o = 0; o < width; o += lanes) {
      const Square<Line::out> made = transform<Line>(m.gather<Line::in>(t * width + o));
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) {
          T* at = to + (i * y.width + j) * y.channels + o;
          if constexpr (streams)
            stream(at, made[i][j]);
          else
            put(at, made[i][j]);
        }
    }
  }
  if constexpr (streams) end_streams();
}

// m = v · u at every point.
template <class Lines>
void multiply(const Planes& v, const Planes& u, int64_t rows, int64_t ins, int64_t outs, const Planes& m) {
  for (int64_t f = 0; f < filters<Lines>; ++f)
    for_each_point<Lines>(f, [&](int64_t p) {
      tile_product<float, Layout::rows, Layout::panels, false>(v.at(p), ins, u.at(f), 0, whole_rows(rows), outs, ins,
                                                               m.at(p), outs);
    });
}

// y = x ⋆ w where there are more tiles than filters. Threads take tiles by the block, so that a block's planes stay in
// a core's cache from the transform to the products to the inverse transform.
template <class Pass, bool streams, class T>
void convolve_by_tiles(const Images<const T>& x, const T* w, const Images<T>& y, const Tiles& tiles) {
  using Lines = typename Pass::Stride;
  const int64_t ins = x.channels, outs = y.channels;
  const Planes u(shared_memory().floats(Planes::size(filters<Lines>, ins, outs)), filters<Lines>, ins, outs);
  transform_filters(Pass{}, w, ins, outs, 0, outs, u);
  const int64_t most = 48 * 36 / points<Lines> / tile_rows * tile_rows;
  const int64_t block = whole_rows(std::clamp<int64_t>(tiles.count / 16, 1, most));
  parallel_ranges((tiles.count + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
    constexpr int64_t n = points<Lines>;
    const Planes v(own_memory().floats(Planes::size(n, block, ins) + Planes::size(n, block, outs)), n, block, ins);
    const Planes m(v.end(), n, block, outs);
    for (int64_t first = begin * block; first < std::min(tiles.count, end * block); first += block) {
      const int64_t count = std::min(block, tiles.count - first);
      read_tiles<typename Pass::Input, Layout::rows>(x, Pass::margin, tiles, first, 0, count, block, v);
      multiply<Lines>(v, u, count, ins, outs, m);
      write_tiles<typename Pass::Output, streams>(m, tiles, first, count, 0, outs, y);
    }
  });
}

// The same where there are more filters than tiles. All tiles are transformed once; then each thread takes outputs by
// the panel, whose filters' transform and products stay in its cache: whole, the filters' would not fit any.
template <class Pass, class T>
void convolve_by_outputs(const Images<const T>& x, const T* w, const Images<T>& y, const Tiles& tiles) {
  using Lines = typename Pass::Stride;
  constexpr int64_t n = points<Lines>;
  const int64_t ins = x.channels, outs = y.channels, rows = whole_rows(tiles.count);
  const Planes v(shared_memory().floats(Planes::size(n, rows, ins)), n, rows, ins);
  parallel_ranges(tiles.count, 1, [&](int64_t begin, int64_t end) {
    read_tiles<typename Pass::Input, Layout::rows>(x, Pass::margin, tiles, 0, begin, end, rows, v);
  });
  parallel_ranges((outs + width - 1) / width, 1, [&](int64_t begin, int64_t end) {
    float* space = own_memory().floats(Planes::size(filters<Lines>, ins, width) + Planes::size(n, rows, width));
    for (int64_t first = begin * width; first < std::min(end * width, outs); first += width) {
      const int64_t count = std::min(width, outs - first);
      const Planes u(space, filters<Lines>, ins, count), m(u.end(), n, rows, count);
      transform_filters(Pass{}, w, ins, outs, first, count, u);
      multiply<Lines>(v, u, tiles.count, ins, count, m);
      write_tiles<typename Pass::Output, false>(m, tiles, 0, tiles.count, first, count, y);
    }
  });
}

// A result of so many bytes is written past the caches, which would not hold it until it is read.
constexpr int64_t streamed_bytes = 12 << 20;

template <class Pass, class T>
void convolve(const Images<const T>& x, const T* w, const Images<T>& y, const ConvShape& s) {
  const Tiles tiles(s);
  const int64_t bytes = s.batch * y.height * y.width * y.channels * static_cast<int64_t>(sizeof(T));
  const bool aligned = reinterpret_cast<uintptr_t>(y.data) % vector_bytes == 0;
  if (tiles.count < y.channels) return convolve_by_outputs<Pass>(x, w, y, tiles);
  if constexpr (std::is_same_v<T, float>)
    if (aligned && bytes >= streamed_bytes) return convolve_by_tiles<Pass, true>(x, w, y, tiles);
  convolve_by_tiles<Pass, false>(x, w, y, tiles);
}

}  // namespace

Memory& shared_memory() {
  thread_local Memory memory;
  return memory;
}
Memory& own_memory() {
  thread_local Memory memory;
  return memory;
}

bool serves(const ConvShape& s, DType dtype) {
  static const bool matrix_units = onednn::has_matrix_units();
  if (vector_bytes < 32 || s.kernel_height != 3 || s.kernel_width != 3 || s.stride > 2 || s.padding != 1) return false;
  if (s.in_channels % lanes != 0 || s.out_channels % lanes != 0) return false;
  // The filters' transform must be worth it, and the tiles mostly full.
  const int64_t tiles = Tiles(s).count;
  if (tiles < 32 || s.batch * s.out_height() * s.out_width() < 9 * tiles) return false;
  if (dtype != DType::bf16) return dtype == DType::f32;
  return !matrix_units && std::min(s.in_channels, s.out_channels) >= 32 && (s.stride == 1 || is_widened(dtype));
}

void forward(const Conv& k) {
  for_stride_and_dtype(k.shape, k.x.dtype, [&]<class Lines, class T>(Lines, T) {
    convolve<ForwardPass<Lines>>(inputs(k.x.as<T>(), k.shape), k.w.as<T>(), outputs(k.y.as<T>(), k.shape), k.shape);
  });
}

void backward_input(const ConvBackwardInput& k) {
  for_stride_and_dtype(k.shape, k.dy.dtype, [&]<class Lines, class T>(Lines, T) {
    convolve<BackwardPass<Lines>>(outputs(k.dy.as<T>(), k.shape), k.w.as<T>(), inputs(k.dx.as<T>(), k.shape), k.shape);
  });
}

}  // namespace gestalt::kernels::cpu::winograd
