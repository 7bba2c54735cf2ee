// Batch normalisation on the CPU: chunks of rows in parallel, vector loops over channels, sums joined in fixed order.
#include "kernels/batch_norm.h"

#include <cmath>

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t tile = 512;  // columns whose sums stay in the first-level cache

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
    for (int64_t j = 0; j < b.columns; ++j) {
      at[j] = value(c);
      if (++c == channels) c = 0;
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
  int64_t i = b.first_row;
  for (; i + 4 <= b.last_row && b.columns_of(i + 3) == b.columns; i += 4) {
    const T* r = x + i * b.width + b.column;
    const T *r1 = r + b.width, *r2 = r1 + b.width, *r3 = r2 + b.width;
#pragma omp simd
    for (int64_t j = 0; j < b.columns; ++j) {
      const S d0 = static_cast<S>(r[j]) - shift[j], d1 = static_cast<S>(r1[j]) - shift[j];
      const S d2 = static_cast<S>(r2[j]) - shift[j], d3 = static_cast<S>(r3[j]) - shift[j];
      sum[j] += (d0 + d1) + (d2 + d3);
      square[j] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
    }
  }
  for (; i < b.last_row; ++i) {
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
  for (int64_t j = 0; j < b.columns; ++j) {
    const S n = static_cast<S>(j < last ? full : full - 1);
    mean[j] = n > 0 ? shift[j] + sum[j] / n : S(0);
    squares[j] = n > 0 ? std::max(S(0), square[j] - sum[j] * sum[j] / n) : S(0);
  }
}

// Calls f(chunk, fold column, rows) for every partial result of channel c that covers a row, in a fixed order.
template <class F>
void for_each_part(const BatchNormSplit& split, int64_t c, F&& f) {
  const int64_t tail = split.rows % split.fold();  // channels' copies that the last wide row holds, 0: all
  for (int64_t chunk = 0; chunk < split.chunks(); ++chunk) {
    const int64_t full = std::min(split.wide_rows() - chunk * split.chunk(), split.chunk());
    for (int64_t k = 0; k < split.fold(); ++k) {
      const bool short_column = chunk + 1 == split.chunks() && tail > 0 && k >= tail;
      const int64_t rows = full - (short_column ? 1 : 0);
      if (rows > 0) f(chunk, k * split.channels + c, rows);
    }
  }
}

// Joins the blocks' moments (Chan, Golub and LeVeque 1979) into mean, inv_std and the running statistics.
template <class T>
void batch_statistics(const BatchNorm& k, const BatchNormSplit& split) {
  using S = Accumulator<T>;
  const T* x = k.x.as<T>();
  S* partial = k.partial.as<S>();
  const int64_t width = split.width();
  for_each_block(split, [&](const Block& b) {
    S* mean = partial + b.chunk * 2 * width + b.column;
    block_moments(b, x, mean, mean + width);
  });
  S *mean = k.mean.as<S>(), *inv_std = k.inv_std.as<S>();
  S *running_mean = k.running_mean.as<S>(), *running_var = k.running_var.as<S>();
  const double rows = static_cast<double>(k.rows);
  parallel_ranges(k.channels, 16, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      double n = 0, m = 0, m2 = 0;
      for_each_part(split, c, [&](int64_t chunk, int64_t column, int64_t count) {
        const S* p = partial + chunk * 2 * width + column;
        const double delta = p[0] - m, joined = n + static_cast<double>(count);
        m2 += p[width] + delta * delta * n * static_cast<double>(count) / joined;
        m += delta * static_cast<double>(count) / joined;
        n = joined;
      });
      mean[c] = static_cast<S>(m);
      inv_std[c] = static_cast<S>(1 / std::sqrt(m2 / rows + k.eps));
      running_mean[c] = static_cast<S>((1 - k.momentum) * running_mean[c] + k.momentum * m);
      running_var[c] = static_cast<S>((1 - k.momentum) * running_var[c] + k.momentum * m2 / (rows - 1));
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
      y[j] = static_cast<T>(v);
    }
  }
}

// Σ dy and Σ dy·(x − mean) per column of one block, dy under the ReLU's mask.
template <bool Relu, class T>
void block_sums(const BatchNormBackward& k, const Block& b, Accumulator<T>* sum, Accumulator<T>* product) {
  using S = Accumulator<T>;
  const S* mean = k.mean.as<S>();
  const Columns<S> centre(b, k.channels, [&](int64_t c) { return mean[c]; });
  S total[tile] = {}, moment[tile] = {};
  const T *xs = k.x.as<T>(), *dys = k.dy.as<T>(), *ys = Relu ? k.y.as<T>() : nullptr;
  for (int64_t i = b.first_row; i < b.last_row;) {
    const int64_t offset = i * b.width + b.column, w = b.width;
    const T *x = xs + offset, *dy = dys + offset, *y = Relu ? ys + offset : nullptr;
    const bool pair = i + 2 <= b.last_row && b.columns_of(i + 1) == b.columns;
    const int64_t n = b.columns_of(i);
    auto masked = [&](int64_t at) {
      const S g = static_cast<S>(dy[at]);
      if constexpr (Relu) return static_cast<S>(y[at]) > S(0) ? g : S(0);
      return g;
    };
    if (pair) {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) {
        const S g0 = masked(j), g1 = masked(j + w);
        total[j] += g0 + g1;
        moment[j] += g0 * (static_cast<S>(x[j]) - centre.at[j]) + g1 * (static_cast<S>(x[j + w]) - centre.at[j]);
      }
    } else {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) {
        const S g = masked(j);
        total[j] += g;
        moment[j] += g * (static_cast<S>(x[j]) - centre.at[j]);
      }
    }
    i += pair ? 2 : 1;
  }
  std::copy_n(total, b.columns, sum);
  std::copy_n(moment, b.columns, product);
}

// dx = gamma·inv_std·(dy − mean(dy) − x̂·mean(dy·x̂)) for one block; evaluation drops the means. Also dresidual.
template <bool Relu, class T>
void block_dx(const BatchNormBackward& k, const Block& b) {
  using S = Accumulator<T>;
  const S *gamma = k.gamma.as<S>(), *mean = k.mean.as<S>(), *inv_std = k.inv_std.as<S>();
  const S *dgamma = k.dgamma.as<S>(), *dbeta = k.dbeta.as<S>();
  const S share = k.training ? S(1) / static_cast<S>(k.rows) : S(0);
  const Columns<S> centre(b, k.channels, [&](int64_t c) { return mean[c]; });
  const Columns<S> scale(b, k.channels, [&](int64_t c) { return gamma[c] * inv_std[c]; });
  const Columns<S> constant(b, k.channels, [&](int64_t c) { return dbeta[c] * share; });
  const Columns<S> slope(b, k.channels, [&](int64_t c) { return dgamma[c] * share * inv_std[c]; });
  for (int64_t i = b.first_row; i < b.last_row; ++i) {
    const int64_t offset = i * b.width + b.column, n = b.columns_of(i);
    const T *x = k.x.as<T>() + offset, *dy = k.dy.as<T>() + offset, *y = Relu ? k.y.as<T>() + offset : nullptr;
    T *dx = k.dx ? k.dx.as<T>() + offset : nullptr, *dresidual = k.dresidual ? k.dresidual.as<T>() + offset : nullptr;
    auto masked = [&](int64_t j) {
      const S g = static_cast<S>(dy[j]);
      if constexpr (Relu) return static_cast<S>(y[j]) > S(0) ? g : S(0);
      return g;
    };
    auto gradient = [&](int64_t j, S g) {
      return static_cast<T>(scale.at[j] * (g - constant.at[j] - slope.at[j] * (static_cast<S>(x[j]) - centre.at[j])));
    };
    if (dx && dresidual) {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) {
        const S g = masked(j);
        dresidual[j] = static_cast<T>(g);
        dx[j] = gradient(j, g);
      }
    } else if (dx) {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) dx[j] = gradient(j, masked(j));
    } else {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) dresidual[j] = static_cast<T>(masked(j));
    }
  }
}

template <bool Relu, class T>
void backward(const BatchNormBackward& k) {
  using S = Accumulator<T>;
  const BatchNormSplit split{k.rows, k.channels};
  const int64_t width = split.width();
  S* partial = k.partial.as<S>();
  for_each_block(split, [&](const Block& b) {
    S* sum = partial + b.chunk * 2 * width + b.column;
    block_sums<Relu, T>(k, b, sum, sum + width);
  });
  S *dgamma = k.dgamma.as<S>(), *dbeta = k.dbeta.as<S>();
  const S* inv_std = k.inv_std.as<S>();
  parallel_ranges(k.channels, 16, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      double sum = 0, product = 0;
      for_each_part(split, c, [&](int64_t chunk, int64_t column, int64_t) {
        const S* p = partial + chunk * 2 * width + column;
        sum += p[0];
        product += p[width];
      });
      dbeta[c] = static_cast<S>(sum);
      dgamma[c] = static_cast<S>(product * inv_std[c]);
    }
  });
  if (k.dx || k.dresidual) for_each_block(split, [&](const Block& b) { block_dx<Relu, T>(k, b); });
}

}  // namespace

void run(const BatchNorm& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const BatchNormSplit split{k.rows, k.channels};
    if (k.training) {
      batch_statistics<T>(k, split);
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

void run(const BatchNormBackward& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (k.y) return backward<true, T>(k);
    return backward<false, T>(k);
  });
}

}  // namespace gestalt::kernels::cpu
