// What Winograd's passes share: tiles of images, the planes of matrices that they are transformed to, and the memory of
// these.
#pragma once

#include <sys/mman.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

#include <cstdlib>
#include <cstring>
#include <memory>

#include "kernels/conv.h"
#include "kernels/cpu/winograd_lines.h"
#include "kernels/cpu/write.h"

namespace gestalt::kernels::cpu::winograd {

constexpr int64_t lanes = vector_bytes / sizeof(float);
constexpr int64_t width = tile_columns<float>;  // of a panel of the product
constexpr int64_t side = 4;                     // of a tile, in outputs of the forward pass

template <class Lines>
constexpr int64_t points = Lines::Input::out* Lines::Input::out;
template <class Lines>
constexpr int64_t filters = Lines::Filter::out* Lines::Filter::out;

// Calls f for each point that has this of the transformed filters: one, or several where the filter is a line's last
// and the line has more points.
template <class Lines, class F>
void for_each_point(int64_t filter, F&& f) {
  constexpr int64_t n = Lines::Input::out, kinds = Lines::Filter::out;
  const int64_t row = filter / kinds, column = filter % kinds;
  for (int64_t i = row; i < (row + 1 < kinds ? row + 1 : n); ++i)
    for (int64_t j = column; j < (column + 1 < kinds ? column + 1 : n); ++j) f(i * n + j);
}

inline Vector load(const float* x) {
  Vector v;
  std::memcpy(&v, x, sizeof v);
  return v;
}
inline Vector load(const BFloat16* x) {
  Vector v;
  for (int64_t i = 0; i < lanes; ++i) v[i] = x[i];
  return v;
}
inline void put(float* to, Vector v) { std::memcpy(to, &v, sizeof v); }
inline void put(BFloat16* to, Vector v) {
  float wide[lanes];
  std::memcpy(wide, &v, sizeof v);
  round_range(wide, lanes, to);
}

// Past the caches: `to` is a multiple of a register's size. Who reads it from another thread waits for end_streams().
inline void stream(float* to, Vector v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, reinterpret_cast<const __m512&>(v));
#elif defined(__AVX__)
  _mm256_stream_ps(to, reinterpret_cast<const __m256&>(v));
#else
  put(to, v);
#endif
}
inline void end_streams() {
#ifdef __AVX__
  _mm_sfence();
#endif
}

// The tiles that cover the outputs of every image, in order.
struct Tiles {
  explicit Tiles(const ConvShape& s)
      : rows((s.out_height() + side - 1) / side),
        columns((s.out_width() + side - 1) / side),
        count(s.batch * rows * columns) {}
  int64_t rows, columns, count;

  struct Place {
    int64_t image, top, left;  // of the tile's first output
  };
  Place place(int64_t tile) const {
    const int64_t in_image = tile % (rows * columns);
    return {tile / (rows * columns), in_image / columns * side, in_image % columns * side};
  }
};

// Images (N, height, width, channels) with so many pixels, in each direction, for an output of the forward pass.
template <class T>
struct Images {
  T* data;
  int64_t height, width, channels, pixels;

  T* at(int64_t image, int64_t top, int64_t left) const {
    return data + ((image * height + top) * width + left) * channels;
  }

  // The square of n × n pixels from (top, left); zeros outside the image.
  template <size_t n>
  Square<n> read(int64_t image, int64_t top, int64_t left, int64_t channel) const {
    Square<n> d;
    const T* base = at(image, top, left) + channel;
    const int64_t extent = n;
    if (top >= 0 && left >= 0 && top + extent <= height && left + extent <= width) {
      for (int64_t i = 0; i < extent; ++i)
        for (int64_t j = 0; j < extent; ++j) d[i][j] = load(base + (i * width + j) * channels);
      return d;
    }
    for (int64_t i = 0; i < extent; ++i)
      for (int64_t j = 0; j < extent; ++j) {
        const bool inside = top + i >= 0 && top + i < height && left + j >= 0 && left + j < width;
        d[i][j] = inside ? load(base + (i * width + j) * channels) : Vector{};
      }
    return d;
  }
};

template <class T>
Images<T> inputs(T* x, const ConvShape& s) {
  return {x, s.height, s.width, s.in_channels, s.stride};
}
template <class T>
Images<T> outputs(T* y, const ConvShape& s) {
  return {y, s.out_height(), s.out_width(), s.out_channels, 1};
}

// `count` matrices (rows, columns) one after another. Matrices lie a cache line further apart than
// they need, or the same element of all of them would compete for one place in the cache.
struct Planes {
  Planes(float* data, int64_t count, int64_t rows, int64_t columns)
      : data(data), count(count), stride(size(1, rows, columns)) {}
  static int64_t size(int64_t count, int64_t rows, int64_t columns) { return count * (rows * columns + lanes); }
  float* at(int64_t plane) const { return data + plane * stride; }
  float* end() const { return at(count); }
  template <size_t n>
  void scatter(const Square<n>& square, int64_t offset) const {
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) put(at(static_cast<int64_t>(i * n + j)) + offset, square[i][j]);
  }
  template <size_t n>
  Square<n> gather(int64_t offset) const {
    Square<n> m;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) m[i][j] = load(at(static_cast<int64_t>(i * n + j)) + offset);
    return m;
  }
  float* data;
  int64_t count, stride;
};

// Memory that is kept from call to call. Large pages, where the system gives them: dozens of planes are written side by
// side.
class Memory {
 public:
  float* floats(int64_t count) {
    constexpr size_t page = 2 << 20;
    const size_t bytes = (static_cast<size_t>(count) * sizeof(float) + page - 1) / page * page;
    if (bytes > bytes_) {
      memory_.reset(static_cast<float*>(std::aligned_alloc(page, bytes)));
      check(memory_ != nullptr, "[conv2d] got no {} bytes of working memory; try a smaller batch", bytes);
      madvise(memory_.get(), bytes, MADV_HUGEPAGE);
      bytes_ = bytes;
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  std::unique_ptr<float, Free> memory_;
  size_t bytes_ = 0;
};

// `tiles` rounded up to whole steps of the product.
inline int64_t whole_rows(int64_t tiles) { return (tiles + tile_rows - 1) / tile_rows * tile_rows; }

// Panels as tile_product reads them: where column j of row l of a (k, n) matrix lies.
inline int64_t in_panel(int64_t l, int64_t j, int64_t k, int64_t n) {
  const int64_t first = j / width * width;
  return first * k + l * std::min(width, n - first) + j - first;
}

// What all threads of one call share, and what is one thread's.
Memory& shared_memory();
Memory& own_memory();

// Rows [begin, end) of v's `rows`, laid out as `layout` says: tiles of x from tile first + begin on.
template <class Line, Layout layout, class T>
void read_tiles(const Images<const T>& x, int64_t margin, const Tiles& tiles, int64_t first, int64_t begin, int64_t end,
                int64_t rows, const Planes& v) {
  for (int64_t t = begin; t < end; ++t) {
    const Tiles::Place tile = tiles.place(first + t);
    const int64_t top = tile.top * x.pixels - margin, left = tile.left * x.pixels - margin;
    // As many pixels as the tile has, those a row of tiles further on: from tile to tile that is all of x in order. The
    // reads go from line to line in strides that no processor's own prefetching follows.
    const int64_t extent = side * x.pixels, line = 64 / sizeof(T);
    const T* ahead = x.at(tile.image, tile.top * x.pixels + extent, tile.left * extent);
    for (int64_t i = 0; i < extent * extent * x.channels; i += line) __builtin_prefetch(ahead + i, 0, 2);
    for (int64_t c = 0; c < x.channels; c += lanes)
      v.scatter(transform<Line>(x.template read<Line::in>(tile.image, top, left, c)),
                layout == Layout::rows ? t * x.channels + c : in_panel(t, c, rows, x.channels));
  }
}

// Calls f with the stride's lines and a number of the dtype.
template <class F>
void for_stride_and_dtype(const ConvShape& s, DType dtype, F&& f) {
  const auto for_dtype = [&](auto lines) { dtype == DType::f32 ? f(lines, float{}) : f(lines, BFloat16{}); };
  s.stride == 1 ? for_dtype(Whole{}) : for_dtype(Strided{});
}

}  // namespace gestalt::kernels::cpu::winograd
