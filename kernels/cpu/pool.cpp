// Pooling on the CPU: rows of the image in parallel, vector loops over channels.
#include "kernels/pool.h"

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t tile = 64;  // channels held in registers

struct Range {
  int64_t begin, end;
};

// The input positions along one axis that output position `i`'s window covers.
Range inputs_of(int64_t i, const PoolShape& s, int64_t extent) {
  const int64_t first = i * s.stride - s.padding;
  return {std::max<int64_t>(0, first), std::min(extent, first + s.kernel)};
}

// The output positions along one axis whose window covers input position `i`.
Range outputs_of(int64_t i, const PoolShape& s, int64_t extent) {
  const int64_t reach = i + s.padding - s.kernel + 1;
  return {reach > 0 ? (reach + s.stride - 1) / s.stride : 0, std::min(extent, (i + s.padding) / s.stride + 1)};
}

// Calls f(image, row, column, first channel, channels) for each pixel and channel tile of a (batch, height, width)
// grid.
template <class F>
void for_each_tile(int64_t batch, int64_t height, int64_t width, int64_t channels, F&& f) {
  const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, width * channels));
  parallel_ranges(batch * height, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t j = 0; j < width; ++j)
        for (int64_t c = 0; c < channels; c += tile) f(r / height, r % height, j, c, std::min(tile, channels - c));
  });
}

// The offset of pixel (n, i, j) channel c in an image of this size.
int64_t at(int64_t n, int64_t i, int64_t j, int64_t c, int64_t height, int64_t width, int64_t channels) {
  return ((n * height + i) * width + j) * channels + c;
}

template <class T>
void max_tile(const T* x, const PoolShape& s, Range rows, Range columns, int64_t top, int64_t left, int64_t n, T* y,
              uint8_t* index) {
  using S = Accumulator<T>;
  S best[tile];
  int32_t winner[tile];
  bool first = true;
  for (int64_t h = rows.begin; h < rows.end; ++h)
    for (int64_t w = columns.begin; w < columns.end; ++w) {
      const T* pixel = x + (h * s.width + w) * s.channels;
      const int32_t position = static_cast<int32_t>((h - top) * s.kernel + (w - left));
      if (first) {
        for (int64_t c = 0; c < n; ++c) best[c] = static_cast<S>(pixel[c]), winner[c] = position;
        first = false;
        continue;
      }
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) {
        const S v = static_cast<S>(pixel[c]);
        const bool wins = (v > best[c]) | (v != v);
        best[c] = wins ? v : best[c];
        winner[c] = wins ? position : winner[c];
      }
    }
  for (int64_t c = 0; c < n; ++c) store(&y[c], best[c]);
  if (index)
    for (int64_t c = 0; c < n; ++c) index[c] = static_cast<uint8_t>(winner[c]);
}

// dx of a pooling: sums term(output offset, position in the window, channel) over the windows that cover each input.
template <class T, class F>
void gather_windows(const PoolShape& s, T* dx, F&& term) {
  using S = Accumulator<T>;
  const int64_t oh = s.out_height(), ow = s.out_width();
  for_each_tile(s.batch, s.height, s.width, s.channels, [&](int64_t n, int64_t i, int64_t j, int64_t c, int64_t width) {
    S sum[tile] = {};
    const Range rows = outputs_of(i, s, oh), columns = outputs_of(j, s, ow);
    for (int64_t u = rows.begin; u < rows.end; ++u)
      for (int64_t v = columns.begin; v < columns.end; ++v) {
        const int64_t from = at(n, u, v, c, oh, ow, s.channels);
        const int64_t position = (i + s.padding - u * s.stride) * s.kernel + (j + s.padding - v * s.stride);
#pragma omp simd
        for (int64_t l = 0; l < width; ++l) sum[l] += term(from + l, position);
      }
    T* to = dx + at(n, i, j, c, s.height, s.width, s.channels);
    for (int64_t l = 0; l < width; ++l) store(&to[l], sum[l]);
  });
}

}  // namespace

void run(const MaxPool& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const PoolShape& s = k.shape;
    const T* x = k.x.as<T>();
    T* y = k.y.as<T>();
    uint8_t* index = k.index.as<uint8_t>();
    const int64_t oh = s.out_height(), ow = s.out_width();
    for_each_tile(s.batch, oh, ow, s.channels, [&](int64_t n, int64_t i, int64_t j, int64_t c, int64_t width) {
      const int64_t to = at(n, i, j, c, oh, ow, s.channels);
      max_tile(x + n * s.height * s.width * s.channels + c, s, inputs_of(i, s, s.height), inputs_of(j, s, s.width),
               i * s.stride - s.padding, j * s.stride - s.padding, width, y + to, index ? index + to : nullptr);
    });
  });
}

void run(const MaxPoolBackward& k, Stream) {
  dispatch_float(k.dy.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* dy = k.dy.as<T>();
    const uint8_t* index = k.index.as<uint8_t>();
    gather_windows(k.shape, k.dx.as<T>(), [&](int64_t from, int64_t position) {
      return index[from] == position ? static_cast<S>(dy[from]) : S(0);
    });
  });
}

void run(const AveragePool& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const PoolShape& s = k.shape;
    const T* x = k.x.as<T>();
    T* y = k.y.as<T>();
    const int64_t oh = s.out_height(), ow = s.out_width();
    const S share = S(1) / static_cast<S>(s.kernel * s.kernel);
    for_each_tile(s.batch, oh, ow, s.channels, [&](int64_t n, int64_t i, int64_t j, int64_t c, int64_t width) {
      S sum[tile] = {};
      const Range rows = inputs_of(i, s, s.height), columns = inputs_of(j, s, s.width);
      for (int64_t h = rows.begin; h < rows.end; ++h)
        for (int64_t w = columns.begin; w < columns.end; ++w) {
          const T* pixel = x + at(n, h, w, c, s.height, s.width, s.channels);
#pragma omp simd
          for (int64_t l = 0; l < width; ++l) sum[l] += static_cast<S>(pixel[l]);
        }
      T* to = y + at(n, i, j, c, oh, ow, s.channels);
      for (int64_t l = 0; l < width; ++l) store(&to[l], sum[l] * share);
    });
  });
}

void run(const AveragePoolBackward& k, Stream) {
  dispatch_float(k.dy.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* dy = k.dy.as<T>();
    const S share = S(1) / static_cast<S>(k.shape.kernel * k.shape.kernel);
    gather_windows(k.shape, k.dx.as<T>(), [&](int64_t from, int64_t) { return static_cast<S>(dy[from]) * share; });
  });
}

void run(const GlobalAveragePool& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* x = k.x.as<T>();
    T* y = k.y.as<T>();
    const S share = S(1) / static_cast<S>(k.positions);
    for_each_tile(k.batch, 1, 1, k.channels, [&](int64_t n, int64_t, int64_t, int64_t c, int64_t width) {
      S sum[tile] = {};
      for (int64_t p = 0; p < k.positions; ++p) {
        const T* pixel = x + (n * k.positions + p) * k.channels + c;
#pragma omp simd
        for (int64_t l = 0; l < width; ++l) sum[l] += static_cast<S>(pixel[l]);
      }
      for (int64_t l = 0; l < width; ++l) store(&y[n * k.channels + c + l], sum[l] * share);
    });
  });
}

void run(const GlobalAveragePoolBackward& k, Stream) {
  dispatch_float(k.dy.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* dy = k.dy.as<T>();
    T* dx = k.dx.as<T>();
    const S share = S(1) / static_cast<S>(k.positions);
    for_each_tile(k.batch, k.positions, 1, k.channels, [&](int64_t n, int64_t p, int64_t, int64_t c, int64_t width) {
      const T* from = dy + n * k.channels + c;
      T* to = dx + (n * k.positions + p) * k.channels + c;
      const S factor = share;  // a copy that the store through `to` cannot change
#pragma omp simd
      for (int64_t l = 0; l < width; ++l) store(&to[l], static_cast<S>(from[l]) * factor);
    });
  });
}

}  // namespace gestalt::kernels::cpu
