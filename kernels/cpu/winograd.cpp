// Winograd convolution F(4 × 4, 3 × 3): tiles of 4 × 4 outputs from 6 × 6 inputs with 36 products instead of 144.
//
// y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ x B)]A for every tile and pair of channels. Summed over input channels, each of the 36 points
// is a matrix product (tiles × C)·(C × O); that is where the time goes. Transforms work on one vector of channels.
#include "kernels/cpu/winograd.h"

#include <sys/mman.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/cpu/write.h"

namespace gestalt::kernels::cpu::winograd {
namespace {

using Vector = Simd<float>::Vector;
constexpr int64_t lanes = vector_bytes / sizeof(float);
constexpr int64_t width = tile_columns<float>;                  // of a panel of the product
constexpr int64_t side = 4, reach = 6, points = reach * reach;  // of a tile: outputs, inputs, products

template <size_t n>
using Line = std::array<Vector, n>;
template <size_t n>
using Square = std::array<Line<n>, n>;

// One-dimensional transforms for the points 0, ±a, ±b and ∞. Of the usual choices these points round best: a result's
// error is twice that of the direct form, where that of 0, ±1, ±2 is five times (root mean square, 128 channels).
constexpr float a = 0.625f, b = 1.5f, aa = a * a, bb = b * b;
constexpr float at_zero = 1 / (aa * bb), at_a = 1 / (2 * aa * (aa - bb)), at_b = 1 / (2 * bb * (bb - aa));

struct InputLine {  // Bᵀ
  static constexpr size_t in = reach, out = reach;
  static Line<out> of(const Line<in>& d) {
    const Vector p = d[4] - bb * d[2], q = a * (d[3] - bb * d[1]), r = d[4] - aa * d[2], s = b * (d[3] - aa * d[1]);
    return {aa * bb * d[0] - (aa + bb) * d[2] + d[4], p + q, p - q, r + s, r - s,
            aa * bb * d[1] - (aa + bb) * d[3] + d[5]};
  }
};
struct OutputLine {  // Aᵀ
  static constexpr size_t in = reach, out = side;
  static Line<out> of(const Line<in>& m) {
    const Vector p = m[1] + m[2], q = a * (m[1] - m[2]), r = m[3] + m[4], s = b * (m[3] - m[4]);
    return {m[0] + p + r, q + s, aa * p + bb * r, aa * q + bb * s + m[5]};
  }
};
struct OutputGradientLine {  // A
  static constexpr size_t in = side, out = reach;
  static Line<out> of(const Line<in>& y) {
    const Vector p = y[0] + aa * y[2], q = a * (y[1] + aa * y[3]), r = y[0] + bb * y[2], s = b * (y[1] + bb * y[3]);
    return {y[0], p + q, p - q, r + s, r - s, y[3]};
  }
};
struct FilterLine {  // G
  static constexpr size_t in = 3, out = reach;
  static Line<out> of(const Line<in>& g) {
    const Vector p = at_a * (g[0] + aa * g[2]), q = at_a * a * g[1], r = at_b * (g[0] + bb * g[2]), s = at_b * b * g[1];
    return {at_zero * g[0], p + q, p - q, r + s, r - s, g[2]};
  }
};
struct FilterGradientLine {  // Gᵀ
  static constexpr size_t in = reach, out = 3;
  static Line<out> of(const Line<in>& m) {
    const Vector p = at_a * (m[1] + m[2]), q = at_a * (m[1] - m[2]), r = at_b * (m[3] + m[4]), s = at_b * (m[3] - m[4]);
    return {at_zero * m[0] + p + r, a * q + b * s, aa * p + bb * r + m[5]};
  }
};

// The two-dimensional transform: lines one way, then the other.
template <class L>
inline Square<L::out> transform(const Square<L::in>& x) {
  std::array<Line<L::in>, L::out> half;
  for (size_t column = 0; column < L::in; ++column) {
    Line<L::in> line;
    for (size_t i = 0; i < L::in; ++i) line[i] = x[i][column];
    const Line<L::out> made = L::of(line);
    for (size_t i = 0; i < L::out; ++i) half[i][column] = made[i];
  }
  Square<L::out> y;
  for (size_t i = 0; i < L::out; ++i) y[i] = L::of(half[i]);
  return y;
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

// The tiles that cover the output of every image, in order, and how they lie in an image.
struct Tiles {
  explicit Tiles(const ConvShape& s)
      : height(s.height),
        width(s.width),
        rows((height + side - 1) / side),
        columns((width + side - 1) / side),
        count(s.batch * rows * columns) {}
  int64_t height, width, rows, columns, count;

  struct Place {
    int64_t image, top, left;  // of the tile's first output
  };
  Place place(int64_t tile) const {
    const int64_t in_image = tile % (rows * columns);
    return {tile / (rows * columns), in_image / columns * side, in_image % columns * side};
  }

  // The square of n × n pixels from (top, left) of an image with `channels`; zeros outside it.
  template <size_t n, class T>
  Square<n> read(const T* x, int64_t image, int64_t top, int64_t left, int64_t channels, int64_t channel) const {
    Square<n> d;
    const T* base = x + ((image * height + top) * width + left) * channels + channel;
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

// `points` matrices (rows, columns) one after another. Matrices lie a cache line further apart than
// they need, or the same element of all of them would compete for one place in the cache.
struct Planes {
  Planes(float* data, int64_t rows, int64_t columns) : data(data), stride(size(rows, columns)) {}
  static int64_t size(int64_t rows, int64_t columns) { return rows * columns + lanes; }
  float* at(int64_t point) const { return data + point * stride; }
  float* end() const { return at(points); }
  template <size_t n>
  void scatter(const Square<n>& square, int64_t offset) const {
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) put(at(static_cast<int64_t>(i * n + j)) + offset, square[i][j]);
  }
  Square<reach> gather(int64_t offset) const {
    Square<reach> m;
    for (int64_t i = 0; i < reach; ++i)
      for (int64_t j = 0; j < reach; ++j) m[i][j] = load(at(i * reach + j) + offset);
    return m;
  }
  float* data;
  int64_t stride;
};

// Memory that is kept from call to call. Large pages, where the system gives them: 36 planes are written side by side.
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
int64_t whole_rows(int64_t tiles) { return (tiles + tile_rows - 1) / tile_rows * tile_rows; }

// Panels as tile_product reads them: where column j of row l of a (k, n) matrix lies.
int64_t in_panel(int64_t l, int64_t j, int64_t k, int64_t n) {
  const int64_t first = j / width * width;
  return first * k + l * std::min(width, n - first) + j - first;
}

// The forward pass's filters w (O, 3, 3, I), transformed: outputs [first, first + count) of `outs` as panels of
// (ins, count).
struct Filters {
  template <class T>
  static void transform(const T* w, int64_t ins, int64_t, int64_t first, int64_t count, const Planes& u) {
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
            u.scatter(winograd::transform<FilterLine>(g), in_panel(c + i, o, ins, count));
          }
        }
    });
  }
};

// The same for the gradient with respect to the input, whose outputs are the forward pass's inputs: w (I, 3, 3, O)
// turned by half a turn.
struct TurnedFilters {
  template <class T>
  static void transform(const T* w, int64_t ins, int64_t outs, int64_t first, int64_t count, const Planes& u) {
    parallel_ranges(ins, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        for (int64_t o = 0; o < count; o += lanes) {
          Square<3> g;
          for (size_t tap = 0; tap < 9; ++tap)
            g[2 - tap / 3][2 - tap % 3] = load(w + (i * 9 + static_cast<int64_t>(tap)) * outs + first + o);
          u.scatter(winograd::transform<FilterLine>(g), in_panel(i, o, ins, count));
        }
    });
  }
};

// Rows [begin, end) of v's `rows`, laid out as `layout` says: tiles of x from tile first + begin on.
template <Layout layout, class T>
void read_tiles(const T* x, const Tiles& tiles, int64_t first, int64_t begin, int64_t end, int64_t rows,
                int64_t channels, const Planes& v) {
  for (int64_t t = begin; t < end; ++t) {
    const auto [image, top, left] = tiles.place(first + t);
    for (int64_t c = 0; c < channels; c += lanes)
      v.scatter(transform<InputLine>(tiles.read<reach>(x, image, top - 1, left - 1, channels, c)),
                layout == Layout::rows ? t * channels + c : in_panel(t, c, rows, channels));
  }
}

// Tile first + t of y's channels [channel, channel + width), from row t of m.
template <class T>
void write_tiles(const Planes& m, const Tiles& tiles, int64_t first, int64_t count, int64_t channel, int64_t width,
                 int64_t channels, T* y) {
  for (int64_t t = 0; t < count; ++t) {
    const auto [image, top, left] = tiles.place(first + t);
    const int64_t rows = std::min(side, tiles.height - top), columns = std::min(side, tiles.width - left);
    T* to = y + ((image * tiles.height + top) * tiles.width + left) * channels + channel;
    for (int64_t o = 0; o < width; o += lanes) {
      const Square<side> made = transform<OutputLine>(m.gather(t * width + o));
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) put(to + (i * tiles.width + j) * channels + o, made[i][j]);
    }
  }
}

// m = v · u at every point.
void multiply(const Planes& v, const Planes& u, int64_t rows, int64_t ins, int64_t outs, const Planes& m) {
  for (int64_t p = 0; p < points; ++p)
    tile_product<float, Layout::rows, Layout::panels, false>(v.at(p), ins, u.at(p), 0, whole_rows(rows), outs, ins,
                                                             m.at(p), outs);
}

// What all threads of one call share, and what is one thread's.
Memory& shared_memory() {
  thread_local Memory memory;
  return memory;
}
Memory& own_memory() {
  thread_local Memory memory;
  return memory;
}

// y = x ⋆ w where there are more tiles than filters. Threads take tiles by the block, so that a block's planes stay in
// a core's cache from the transform to the products to the inverse transform.
template <class F, class T>
void convolve_by_tiles(const T* x, const T* w, T* y, const Tiles& tiles, int64_t ins, int64_t outs) {
  const Planes u(shared_memory().floats(points * Planes::size(ins, outs)), ins, outs);
  F::transform(w, ins, outs, 0, outs, u);
  const int64_t block = whole_rows(std::clamp<int64_t>(tiles.count / 16, 1, 48));
  parallel_ranges((tiles.count + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
    const Planes v(own_memory().floats(points * (Planes::size(block, ins) + Planes::size(block, outs))), block, ins);
    const Planes m(v.end(), block, outs);
    for (int64_t first = begin * block; first < std::min(tiles.count, end * block); first += block) {
      const int64_t count = std::min(block, tiles.count - first);
      read_tiles<Layout::rows>(x, tiles, first, 0, count, block, ins, v);
      multiply(v, u, count, ins, outs, m);
      write_tiles(m, tiles, first, count, 0, outs, outs, y);
    }
  });
}

// The same where there are more filters than tiles. All tiles are transformed once; then each thread takes outputs by
// the panel, whose filters' transform and products stay in its cache: whole, the filters' would not fit any.
template <class F, class T>
void convolve_by_outputs(const T* x, const T* w, T* y, const Tiles& tiles, int64_t ins, int64_t outs) {
  const int64_t rows = whole_rows(tiles.count);
  const Planes v(shared_memory().floats(points * Planes::size(rows, ins)), rows, ins);
  parallel_ranges(tiles.count, 1,
                  [&](int64_t begin, int64_t end) { read_tiles<Layout::rows>(x, tiles, 0, begin, end, rows, ins, v); });
  parallel_ranges((outs + width - 1) / width, 1, [&](int64_t begin, int64_t end) {
    float* space = own_memory().floats(points * (Planes::size(ins, width) + Planes::size(rows, width)));
    for (int64_t first = begin * width; first < std::min(end * width, outs); first += width) {
      const int64_t count = std::min(width, outs - first);
      const Planes u(space, ins, count), m(u.end(), rows, count);
      F::transform(w, ins, outs, first, count, u);
      multiply(v, u, tiles.count, ins, count, m);
      write_tiles(m, tiles, 0, tiles.count, first, count, outs, y);
    }
  });
}

template <class F, class T>
void convolve(const T* x, const T* w, T* y, const ConvShape& s, int64_t ins, int64_t outs) {
  const Tiles tiles(s);
  tiles.count >= outs ? convolve_by_tiles<F>(x, w, y, tiles, ins, outs)
                      : convolve_by_outputs<F>(x, w, y, tiles, ins, outs);
}

template <class T>
void forward(const Conv& k) {
  convolve<Filters>(k.x.as<T>(), k.w.as<T>(), k.y.as<T>(), k.shape, k.shape.in_channels, k.shape.out_channels);
}

template <class T>
void backward_input(const ConvBackwardInput& k) {
  convolve<TurnedFilters>(k.dy.as<T>(), k.w.as<T>(), k.dx.as<T>(), k.shape, k.shape.out_channels, k.shape.in_channels);
}

// The same of the output's gradient, in panels.
template <class T>
void read_gradients(const T* dy, const Tiles& tiles, int64_t first, int64_t begin, int64_t end, int64_t rows,
                    int64_t channels, const Planes& d) {
  for (int64_t t = begin; t < end; ++t) {
    const auto [image, top, left] = tiles.place(first + t);
    for (int64_t c = 0; c < channels; c += lanes)
      d.scatter(transform<OutputGradientLine>(tiles.read<side>(dy, image, top, left, channels, c)),
                in_panel(t, c, rows, channels));
  }
}

// sum (filters, I) = or += dᵀ·v for the filters [first, first + filters) of d (rows, O), a panel of it, and v (rows,
// I).
template <bool accumulate>
void add_panel(const float* d, const float* v, int64_t rows, int64_t first, int64_t filters, int64_t ins, float* sum) {
  tile_product<float, Layout::transposed, Layout::panels, accumulate>(d + first * rows, filters, v, 0, filters, ins,
                                                                      rows, sum, ins);
}

// Filters [first, first + count) of dw (O, 3, 3, I) from the `parts` sums whose rows [row, row + count) are theirs.
void write_filters(const Planes* sums, int64_t parts, int64_t row, int64_t first, int64_t count, int64_t ins,
                   float* dw) {
  for (int64_t o = 0; o < count; ++o)
    for (int64_t c = 0; c < ins; c += lanes) {
      Square<reach> all = sums[0].gather((row + o) * ins + c);
      for (int64_t part = 1; part < parts; ++part) {
        const Square<reach> more = sums[part].gather((row + o) * ins + c);
        for (size_t i = 0; i < reach; ++i)
          for (size_t j = 0; j < reach; ++j) all[i][j] += more[i][j];
      }
      const Square<3> g = transform<FilterGradientLine>(all);
      for (int64_t tap = 0; tap < 9; ++tap) put(dw + ((first + o) * 9 + tap) * ins + c, g[tap / 3][tap % 3]);
    }
}

// sum = Σ (A dy Aᵀ) ⊙ (Bᵀ x B) over the tiles [begin, end): for each point a product (O × tiles)·(tiles × I), by blocks
// that v and d hold.
template <class T>
void add_tiles(const ConvBackwardWeights& k, const Tiles& tiles, int64_t begin, int64_t end, int64_t block,
               const Planes& v, const Planes& d, const Planes& sum) {
  const int64_t ins = k.shape.in_channels, outs = k.shape.out_channels;
  for (int64_t first = begin; first < end; first += block) {
    const int64_t count = std::min(block, end - first);
    parallel_ranges(count, 1, [&](int64_t from, int64_t to) {
      read_tiles<Layout::panels>(k.x.as<T>(), tiles, first, from, to, count, ins, v);
      read_gradients(k.dy.as<T>(), tiles, first, from, to, count, outs, d);
    });
    parallel_ranges(points, 1, [&](int64_t from, int64_t to) {
      for (int64_t p = from; p < to; ++p)
        for (int64_t o = 0; o < outs; o += width)
          (first == begin ? add_panel<false> : add_panel<true>)(d.at(p), v.at(p), count, o, std::min(width, outs - o),
                                                                ins, sum.at(p) + o * ins);
    });
  }
}

// dw = Gᵀ[Σ (A dy Aᵀ) ⊙ (Bᵀ x B)]G where there are more tiles than filters. Where there are many, they are cut into
// parts with sums of their own, so that nothing goes from one core to the other but the sums; else all threads share a
// block of tiles, and each takes some points.
template <class T>
void backward_weights_by_tiles(const ConvBackwardWeights& k, const Tiles& tiles) {
  const int64_t ins = k.shape.in_channels, outs = k.shape.out_channels;
  const int64_t parts = std::clamp<int64_t>(tiles.count / std::max<int64_t>(512, outs * ins / 32), 1, 16);
  const int64_t most = parts > 1 ? 64 : std::clamp<int64_t>((ins + outs) / 2, 64, 256);
  const int64_t block = whole_rows(std::min(tiles.count, most)), size = points * Planes::size(outs, ins);
  const int64_t planes = points * (Planes::size(block, ins) + Planes::size(block, outs));
  float* space = shared_memory().floats(parts * (size + planes));
  std::vector<Planes> sums;
  for (int64_t part = 0; part < parts; ++part) sums.emplace_back(space + part * (size + planes), outs, ins);
  parallel_ranges(parts, 1, [&](int64_t begin, int64_t end) {  // what is parallel inside stays on its thread
    for (int64_t part = begin; part < end; ++part) {
      const Planes& sum = sums[static_cast<size_t>(part)];
      const Planes v(sum.end(), block, ins), d(v.end(), block, outs);
      add_tiles<T>(k, tiles, tiles.count * part / parts, tiles.count * (part + 1) / parts, block, v, d, sum);
    }
  });
  parallel_ranges(outs, 1, [&](int64_t begin, int64_t end) {
    write_filters(sums.data(), parts, begin, begin, end - begin, ins, k.dw.as<float>());
  });
}

// The same where there are more filters than tiles: each thread takes filters by the panel, whose sums stay in its
// cache, as in convolve_by_outputs.
template <class T>
void backward_weights_by_outputs(const ConvBackwardWeights& k, const Tiles& tiles) {
  const int64_t ins = k.shape.in_channels, outs = k.shape.out_channels, count = tiles.count;
  const Planes v(shared_memory().floats(points * (Planes::size(count, ins) + Planes::size(count, outs))), count, ins);
  const Planes d(v.end(), count, outs);
  parallel_ranges(count, 1, [&](int64_t from, int64_t to) {
    read_tiles<Layout::panels>(k.x.as<T>(), tiles, 0, from, to, count, ins, v);
    read_gradients(k.dy.as<T>(), tiles, 0, from, to, count, outs, d);
  });
  parallel_ranges((outs + width - 1) / width, 1, [&](int64_t begin, int64_t end) {
    const Planes sum(own_memory().floats(points * Planes::size(width, ins)), width, ins);
    for (int64_t first = begin * width; first < std::min(end * width, outs); first += width) {
      const int64_t rows = std::min(width, outs - first);
      for (int64_t p = 0; p < points; ++p) add_panel<false>(d.at(p), v.at(p), count, first, rows, ins, sum.at(p));
      write_filters(&sum, 1, 0, first, rows, ins, k.dw.as<float>());
    }
  });
}

template <class T>
void backward_weights(const ConvBackwardWeights& k) {
  const Tiles tiles(k.shape);
  tiles.count >= k.shape.out_channels ? backward_weights_by_tiles<T>(k, tiles)
                                      : backward_weights_by_outputs<T>(k, tiles);
}

}  // namespace

bool serves(const ConvShape& s, DType dtype) {
  static const bool matrix_units = onednn::has_matrix_units();
  if (vector_bytes < 32 || s.kernel_height != 3 || s.kernel_width != 3 || s.stride != 1 || s.padding != 1) return false;
  if (s.in_channels % lanes != 0 || s.out_channels % lanes != 0) return false;
  // The filters' transform must be worth it, and the tiles mostly full.
  const int64_t tiles = Tiles(s).count;
  if (tiles < 32 || s.batch * s.height * s.width < 9 * tiles) return false;
  if (dtype == DType::bf16) return !matrix_units && std::min(s.in_channels, s.out_channels) >= 32;
  return dtype == DType::f32;
}

void forward(const Conv& k) { k.x.dtype == DType::f32 ? forward<float>(k) : forward<BFloat16>(k); }
void backward_input(const ConvBackwardInput& k) {
  k.dy.dtype == DType::f32 ? backward_input<float>(k) : backward_input<BFloat16>(k);
}
void backward_weights(const ConvBackwardWeights& k) {
  k.x.dtype == DType::f32 ? backward_weights<float>(k) : backward_weights<BFloat16>(k);
}

}  // namespace gestalt::kernels::cpu::winograd
