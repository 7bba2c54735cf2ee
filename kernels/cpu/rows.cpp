// Row kernels on the CPU: rows in parallel, vector loops along a row.
#include "kernels/rows.h"

#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/cpu/write.h"
#include "kernels/math.h"

namespace gestalt::kernels::cpu {
namespace {

template <class F>
void for_each_row(int64_t rows, int64_t columns, F&& f) {
  parallel_ranges(rows, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, columns)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

// Σ f(j) over j in [0, count). In no more lanes than a register has, which are added one after the other at the end: of
// bf16 a compiler takes as many as fill a register before they are widened, twice that.
template <class S, class F>
S total(int64_t count, F&& f) {
  constexpr int lanes = tile_columns<S> / 2;
  S sum = 0;
#pragma omp simd reduction(+ : sum) simdlen(lanes)
  for (int64_t j = 0; j < count; ++j) sum += f(j);
  return sum;
}

template <class T>
Accumulator<T> largest(const T* x, int64_t count) {
  using S = Accumulator<T>;
  S most = static_cast<S>(x[0]);
#pragma omp simd reduction(max : most)
  for (int64_t j = 0; j < count; ++j) most = larger(most, static_cast<S>(x[j]));
  return most;
}

template <class T>
void layer_norm_row(const LayerNorm& k, int64_t i) {
  using S = Accumulator<T>;
  const int64_t n = k.columns;
  const T* h = k.x.as<T>() + i * n;
  const S *gamma = k.gamma.as<S>(), *beta = k.beta.as<S>();
  T* y = k.y.as<T>() + i * n;
  if (k.residual) {
    const T* residual = k.residual.as<T>() + i * n;
    T* sum = k.sum.as<T>() + i * n;
    write_range(sum, 0, n, [=](int64_t j) { return static_cast<S>(h[j]) + static_cast<S>(residual[j]); });
    h = sum;
  }
  const S mean = total<S>(n, [&](int64_t j) { return static_cast<S>(h[j]); }) / static_cast<S>(n);
  const S squares = total<S>(n, [&](int64_t j) {
    const S d = static_cast<S>(h[j]) - mean;
    return d * d;
  });
  const S inv_std = S(1) / std::sqrt(squares / static_cast<S>(n) + static_cast<S>(k.eps));
  k.mean.as<S>()[i] = mean;
  k.inv_std.as<S>()[i] = inv_std;
  write_range(y, 0, n, [=](int64_t j) { return (static_cast<S>(h[j]) - mean) * inv_std * gamma[j] + beta[j]; });
}

// dx of one row; adds the row's share of dgamma and dbeta.
template <class T>
void layer_norm_row_backward(const LayerNormBackward& k, int64_t i, Accumulator<T>* dgamma, Accumulator<T>* dbeta) {
  using S = Accumulator<T>;
  const int64_t n = k.columns;
  const T *h = k.h.as<T>() + i * n, *dy = k.dy.as<T>() + i * n;
  const S* gamma = k.gamma.as<S>();
  T* dx = k.dx.as<T>() + i * n;
  const S mean = k.mean.as<S>()[i], inv_std = k.inv_std.as<S>()[i];
  S sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
  for (int64_t j = 0; j < n; ++j) {
    const S d = static_cast<S>(dy[j]), unit = (static_cast<S>(h[j]) - mean) * inv_std, g = d * gamma[j];
    sum += g;
    product += g * unit;
    dgamma[j] += d * unit;
    dbeta[j] += d;
  }
  const S shift = inv_std * sum / static_cast<S>(n), slope = inv_std * inv_std * product / static_cast<S>(n);
  const auto gradient = [=](int64_t j) {
    return inv_std * (static_cast<S>(dy[j]) * gamma[j]) - ((static_cast<S>(h[j]) - mean) * slope + shift);
  };
  if (k.dsum) {
    const T* dsum = k.dsum.as<T>() + i * n;
    write_range(dx, 0, n, [=](int64_t j) { return gradient(j) + static_cast<S>(dsum[j]); });
  } else {
    write_range(dx, 0, n, gradient);
  }
}

}  // namespace

void run(const LayerNorm& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    for_each_row(k.rows, k.columns, [&](int64_t i) { layer_norm_row<decltype(tag)>(k, i); });
  });
}

void run(const LayerNormBackward& k, Stream stream) {
  dispatch_float(k.h.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const int64_t n = k.columns, chunk = layer_norm_chunk(k.rows), chunks = layer_norm_chunks(k.rows);
    S* partial = static_cast<S*>(stream.scratch);
    parallel_ranges(chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        S* sums = partial + c * 2 * n;
        std::fill(sums, sums + 2 * n, S(0));
        for (int64_t i = c * chunk; i < std::min(k.rows, (c + 1) * chunk); ++i)
          layer_norm_row_backward<T>(k, i, sums, sums + n);
      }
    });
    S *dgamma = k.dgamma.as<S>(), *dbeta = k.dbeta.as<S>();
    std::fill_n(dgamma, n, S(0));
    std::fill_n(dbeta, n, S(0));
    for (int64_t c = 0; c < chunks; ++c) {
      const S* sums = partial + c * 2 * n;
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) {
        dgamma[j] += sums[j];
        dbeta[j] += sums[n + j];
      }
    }
  });
}

void run(const Softmax& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const int64_t n = k.columns;
    for_each_row(k.rows, n, [&](int64_t i) {
      const T* x = k.x.as<T>() + i * n;
      T* y = k.y.as<T>() + i * n;
      const S most = largest(x, n);
      const S sum = total<S>(n, [&](int64_t j) { return fast_exp(static_cast<S>(x[j]) - most); });
      const S shift = most + std::log(sum), share = S(1) / sum;
      if (k.log) {
        write_range(y, 0, n, [=](int64_t j) { return static_cast<S>(x[j]) - shift; });
      } else {
        write_range(y, 0, n, [=](int64_t j) { return fast_exp(static_cast<S>(x[j]) - most) * share; });
      }
    });
  });
}

void run(const SoftmaxBackward& k, Stream) {
  dispatch_float(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const int64_t n = k.columns;
    for_each_row(k.rows, n, [&](int64_t i) {
      const T *y = k.y.as<T>() + i * n, *dy = k.dy.as<T>() + i * n;
      T* dx = k.dx.as<T>() + i * n;
      if (k.log) {
        const S sum = total<S>(n, [&](int64_t j) { return static_cast<S>(dy[j]); });
        write_range(dx, 0, n, [=](int64_t j) { return static_cast<S>(dy[j]) - fast_exp(static_cast<S>(y[j])) * sum; });
      } else {
        const S sum = total<S>(n, [&](int64_t j) { return static_cast<S>(dy[j]) * static_cast<S>(y[j]); });
        write_range(dx, 0, n, [=](int64_t j) { return static_cast<S>(y[j]) * (static_cast<S>(dy[j]) - sum); });
      }
    });
  });
}

void run(const Normalize& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const int64_t n = k.columns;
    for_each_row(k.rows, n, [&](int64_t i) {
      const T* x = k.x.as<T>() + i * n;
      T* y = k.y.as<T>() + i * n;
      const S squares = total<S>(n, [&](int64_t j) { return static_cast<S>(x[j]) * static_cast<S>(x[j]); });
      const S inv = S(1) / std::max(std::sqrt(squares), static_cast<S>(k.eps));
      k.inv_norm.as<S>()[i] = inv;
      write_range(y, 0, n, [=](int64_t j) { return static_cast<S>(x[j]) * inv; });
    });
  });
}

void run(const NormalizeBackward& k, Stream) {
  dispatch_float(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const int64_t n = k.columns;
    for_each_row(k.rows, n, [&](int64_t i) {
      const T *y = k.y.as<T>() + i * n, *dy = k.dy.as<T>() + i * n;
      T* dx = k.dx.as<T>() + i * n;
      const S inv = k.inv_norm.as<S>()[i];
      const bool clamped = inv >= S(1) / static_cast<S>(k.eps);
      const S along =
          clamped ? S(0) : total<S>(n, [&](int64_t j) { return static_cast<S>(y[j]) * static_cast<S>(dy[j]); });
      write_range(dx, 0, n, [=](int64_t j) { return inv * (static_cast<S>(dy[j]) - static_cast<S>(y[j]) * along); });
    });
  });
}

}  // namespace gestalt::kernels::cpu
