// Batch normalisation on the CPU: chunks of rows in parallel, vector loops over channels, sums joined in fixed order.
#include "kernels/batch_norm.h"

#include <cmath>

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t tile = 2048;  // columns whose sums stay in the first-level cache
constexpr int64_t strip = 16;   // channels whose partial results are joined together

// A chunk of wide rows times a tile of columns.
struct Block {
  int64_t chunk, first_row, last_row, column, columns;
  int64_t width, elements;

  // How many of this block's columns the wide row holds: all of them but in a partly filled last row.
  int64_t columns_of(int64_t row) const { return std::clamp<int64_t>(elements - row * width - column, 0, columns); }
};

// Calls f on every block of a (rows, channels) matrix, in parallel.
template <class F>
void for_each_block(const BatchNormSplit& split, F&& f) {
  const int64_t width = split.width(), tiles = (width + tile - 1) / tile;
  const int64_t grain = std::max<int64_t>(1, 32768 / (split.chunk() * std::min(width, tile)));
  parallel_ranges(split.chunks() * tiles, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t chunk = i / tiles, column = i % tiles * tile, first = chunk * split.chunk();
      f(Block{chunk, first, std::min(split.wide_rows(), first + split.chunk()), column, std::min(tile, width - column),
              width, split.rows * split.channels});
    }
  });
}

// A per-channel vector laid out over the block's columns.
template <class S>
struct Columns {
  S at[tile];

  template <class F>
  Columns(const Block& b, int64_t channels, F&& value) {
    int64_t c = b.column % channels;
    for (int64_t j = 0; j < b.columns; c = 0) {
      const int64_t n = std::min(channels - c, b.columns - j);
      for (int64_t i = 0; i < n; ++i) at[j + i] = value(c + i);
      j += n;
    }
  }
};

// Mean and sum of squared deviations per column, about the block's first row so that a large mean cancels early.
template <class T>
void block_moments(const Block& b, const T* x, Accumulator<T>* mean, Accumulator<T>* squares) {
  using S = Accumulator<T>;
  S shift[tile] = {}, sum[tile] = {}, square[tile] = {};
  const T* first = x + b.first_row * b.width + b.column;
  for (int64_t j = 0, n = b.columns_of(b.first_row); j < n; ++j) shift[j] = static_cast<S>(first[j]);
  for (int64_t i = b.first_row; i < b.last_row; ++i) {
    const T* r = x + i * b.width + b.column;
    const int64_t n = b.columns_of(i);
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      const S d = static_cast<S>(r[j]) - shift[j];
      sum[j] += d;
      square[j] += d * d;
    }
  }
  const int64_t full = b.last_row - b.first_row, last = b.columns_of(b.last_row - 1);
  const S all = S(1) / static_cast<S>(full), less = full > 1 ? S(1) / static_cast<S>(full - 1) : S(0);
#pragma omp simd
  for (int64_t j = 0; j < b.columns; ++j) {
    const S share = j < last ? all : less, step = sum[j] * share;
    mean[j] = shift[j] + step;
    squares[j] = std::max(S(0), square[j] - sum[j] * step);
  }
}

// Calls f(offset of the partial results of `channel`, rows they cover) for every part, in a fixed order.
template <class F>
void for_each_part(const BatchNormSplit& split, int64_t channel, F&& f) {
  const int64_t tail = split.rows % split.fold();  // rows that the last wide row holds, 0: all
  for (int64_t chunk = 0; chunk < split.chunks(); ++chunk) {
    const int64_t full = std::min(split.wide_rows() - chunk * split.chunk(), split.chunk());
    for (int64_t k = 0; k < split.fold(); ++k) {
      const int64_t rows = full - (chunk + 1 == split.chunks() && tail > 0 && k >= tail ? 1 : 0);
      if (rows > 0) f(chunk * 2 * split.width() + k * split.channels + channel, static_cast<double>(rows));
    }
  }
}

// Calls f(first channel, channels) for strips of up to `strip` channels, in parallel.
template <class F>
void for_each_strip(int64_t channels, F&& f) {
  parallel_ranges((channels + strip - 1) / strip, 8, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin * strip; c < std::min(channels, end * strip); c += strip)
      f(c, std::min(strip, channels - c));
  });
}

// Joins the blocks' moments into mean, inv_std and the running statistics.
template <class T>
void batch_statistics(const BatchNorm& k, const BatchNormSplit& split, Accumulator<T>* partial) {
  using S = Accumulator<T>;
  const T* x = k.x.as<T>();
  const int64_t width = split.width();
  for_each_block(split, [&](const Block& b) {
    S* mean = partial + b.chunk * 2 * width + b.column;
    block_moments(b, x, mean, mean + width);
  });
  S *mean = k.mean.as<S>(), *inv_std = k.inv_std.as<S>();
  S *running_mean = k.running_mean.as<S>(), *running_var = k.running_var.as<S>();
  const double rows = static_cast<double>(k.rows);
  for_each_strip(k.channels, [&](int64_t first, int64_t count) {
    double m[strip] = {}, m2[strip] = {};
    for_each_part(split, first, [&](int64_t at, double n) {
      for (int64_t c = 0; c < count; ++c) m[c] += n / rows * partial[at + c];
    });
    for_each_part(split, first, [&](int64_t at, double n) {
      for (int64_t c = 0; c < count; ++c) {
        const double delta = partial[at + c] - m[c];
        m2[c] += partial[at + width + c] + n * delta * delta;
      }
    });
    for (int64_t i = 0; i < count; ++i) {
      const int64_t c = first + i;
      mean[c] = static_cast<S>(m[i]);
      inv_std[c] = static_cast<S>(1 / std::sqrt(m2[i] / rows + k.eps));
      running_mean[c] = static_cast<S>((1 - k.momentum) * running_mean[c] + k.momentum * m[i]);
      running_var[c] = static_cast<S>((1 - k.momentum) * running_var[c] + k.momentum * m2[i] / (rows - 1));
    }
  });
}

// y for one block. `Residual` and `Relu` are compile-time, so that the loop has no branch.
template <bool Residual, bool Relu, class T>
void apply(const BatchNorm& k, const Block& b) {
  using S = Accumulator<T>;
  const S *gamma = k.gamma.as<S>(), *beta = k.beta.as<S>(), *mean = k.mean.as<S>(), *inv_std = k.inv_std.as<S>();
  const Columns<S> scale(b, k.channels, [&](int64_t c) { return gamma[c] * inv_std[c]; });
  const Columns<S> centre(b, k.channels, [&](int64_t c) { return mean[c]; });
  const Columns<S> shift(b, k.channels, [&](int64_t c) { return beta[c]; });
  for (int64_t i = b.first_row; i < b.last_row; ++i) {
    const int64_t offset = i * b.width + b.column, n = b.columns_of(i);
    const T* x = k.x.as<T>() + offset;
    const T* residual = Residual ? k.residual.as<T>() + offset : nullptr;
    T* y = k.y.as<T>() + offset;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      S v = (static_cast<S>(x[j]) - centre.at[j]) * scale.at[j] + shift.at[j];
      if constexpr (Residual) v += static_cast<S>(residual[j]);
      if constexpr (Relu) v = v < S(0) ? S(0) : v;  // keeps NaN
      store(&y[j], v);
    }
  }
}

// What the ReLU lets through: all, where there is none; y > 0 of the forward result; or of y computed anew.
enum class Mask { none, stored, computed };

// The channels' parameters over one block's columns, and the mask of y = (x − centre) · scale + shift.
template <Mask mask, class T>
struct Masked {
  using S = Accumulator<T>;
  Columns<S> centre, scale, shift;

  Masked(const BatchNormBackward& k, const Block& b)
      : centre(b, k.channels, [mean = k.mean.as<S>()](int64_t c) { return mean[c]; }),
        scale(b, k.channels, [gamma = k.gamma.as<S>(), by = k.inv_std.as<S>()](int64_t c) { return gamma[c] * by[c]; }),
        shift(b, mask == Mask::computed ? k.channels : 1,
              [beta = k.beta.as<S>()](int64_t c) { return mask == Mask::computed ? beta[c] : S(0); }) {}

  S operator()(int64_t j, const T* x, const T* dy, const T* y) const {
    const S g = static_cast<S>(dy[j]);
    if constexpr (mask == Mask::stored) return static_cast<S>(y[j]) > S(0) ? g : S(0);
    if constexpr (mask == Mask::computed)
      return (static_cast<S>(x[j]) - centre.at[j]) * scale.at[j] + shift.at[j] > S(0) ? g : S(0);
    return g;
  }
};

// Σ dy and Σ dy·(x − mean) per column of one block, dy under the ReLU's mask.
template <Mask mask, class T>
void block_sums(const BatchNormBackward& k, const Block& b, Accumulator<T>* sum, Accumulator<T>* product) {
  using S = Accumulator<T>;
  const Masked<mask, T> masked(k, b);
  S total[tile] = {}, moment[tile] = {};
  const T *xs = k.x.as<T>(), *dys = k.dy.as<T>(), *ys = k.y.as<T>();
  for (int64_t i = b.first_row; i < b.last_row; ++i) {
    const int64_t offset = i * b.width + b.column, n = b.columns_of(i);
    const T *x = xs + offset, *dy = dys + offset, *y = mask == Mask::stored ? ys + offset : nullptr;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      const S g = masked(j, x, dy, y);
      total[j] += g;
      moment[j] += g * (static_cast<S>(x[j]) - masked.centre.at[j]);
    }
  }
  std::copy_n(total, b.columns, sum);
  std::copy_n(moment, b.columns, product);
}

// dx = gamma·inv_std·(dy − mean(dy) − x̂·mean(dy·x̂)) for one block; evaluation drops the means. Also dresidual.
template <Mask mask, class T>
void block_dx(const BatchNormBackward& k, const Block& b) {
  using S = Accumulator<T>;
  const S *dgamma = k.dgamma.as<S>(), *dbeta = k.dbeta.as<S>(), *inv_std = k.inv_std.as<S>();
  const S share = k.training ? S(1) / static_cast<S>(k.rows) : S(0);
  const Masked<mask, T> masked(k, b);
  const Columns<S> constant(b, k.channels, [&](int64_t c) { return dbeta[c] * share; });
  const Columns<S> slope(b, k.channels, [&](int64_t c) { return dgamma[c] * share * inv_std[c]; });
  for (int64_t i = b.first_row; i < b.last_row; ++i) {
    const int64_t offset = i * b.width + b.column, n = b.columns_of(i);
    const T *x = k.x.as<T>() + offset, *dy = k.dy.as<T>() + offset;
    const T* y = mask == Mask::stored ? k.y.as<T>() + offset : nullptr;
    T *dx = k.dx ? k.dx.as<T>() + offset : nullptr, *dresidual = k.dresidual ? k.dresidual.as<T>() + offset : nullptr;
    auto gradient = [&](int64_t j, S g) {
      return masked.scale.at[j] * (g - constant.at[j] - slope.at[j] * (static_cast<S>(x[j]) - masked.centre.at[j]));
    };
    if (dx && dresidual) {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) {
        const S g = masked(j, x, dy, y);
        store(&dresidual[j], g);
        store(&dx[j], gradient(j, g));
      }
    } else if (dx) {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) store(&dx[j], gradient(j, masked(j, x, dy, y)));
    } else {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) store(&dresidual[j], masked(j, x, dy, y));
    }
  }
}

template <Mask mask, class T>
void backward(const BatchNormBackward& k, Accumulator<T>* partial) {
  using S = Accumulator<T>;
  const BatchNormSplit split{k.rows, k.channels};
  const int64_t width = split.width();
  for_each_block(split, [&](const Block& b) {
    S* sum = partial + b.chunk * 2 * width + b.column;
    block_sums<mask, T>(k, b, sum, sum + width);
  });
  S *dgamma = k.dgamma.as<S>(), *dbeta = k.dbeta.as<S>();
  const S* inv_std = k.inv_std.as<S>();
  for_each_strip(k.channels, [&](int64_t first, int64_t count) {
    double sum[strip] = {}, product[strip] = {};
    for_each_part(split, first, [&](int64_t at, double) {
      for (int64_t c = 0; c < count; ++c) {
        sum[c] += partial[at + c];
        product[c] += partial[at + width + c];
      }
    });
    for (int64_t c = 0; c < count; ++c) {
      dbeta[first + c] = static_cast<S>(sum[c]);
      dgamma[first + c] = static_cast<S>(product[c] * inv_std[first + c]);
    }
  });
  if (k.dx || k.dresidual) for_each_block(split, [&](const Block& b) { block_dx<mask, T>(k, b); });
}

}  // namespace

void run(const BatchNorm& k, Stream stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const BatchNormSplit split{k.rows, k.channels};
    if (k.training) {
      batch_statistics<T>(k, split, static_cast<S*>(stream.scratch));
    } else {
      const S *mean = k.running_mean.as<S>(), *var = k.running_var.as<S>();
      S *out_mean = k.mean.as<S>(), *inv_std = k.inv_std.as<S>();
      for (int64_t c = 0; c < k.channels; ++c) {
        out_mean[c] = mean[c];
        inv_std[c] = static_cast<S>(1 / std::sqrt(static_cast<double>(var[c]) + k.eps));
      }
    }
    for_each_block(split, [&](const Block& b) {
      if (k.residual && k.relu) return apply<true, true, T>(k, b);
      if (k.residual) return apply<true, false, T>(k, b);
      if (k.relu) return apply<false, true, T>(k, b);
      return apply<false, false, T>(k, b);
    });
  });
}

void run(const BatchNormBackward& k, Stream stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    auto* partial = static_cast<Accumulator<T>*>(stream.scratch);
    if (k.relu && k.y) return backward<Mask::stored, T>(k, partial);
    if (k.relu) return backward<Mask::computed, T>(k, partial);
    return backward<Mask::none, T>(k, partial);
  });
}

}  // namespace gestalt::kernels::cpu
