// Moving rows on the CPU. Where rows meet, pieces split columns, so that the order of a sum never changes.
#include "kernels/tokens.h"

#include <vector>

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

// The index, each entry checked to lie in [0, length).
const int32_t* checked(const char* op, In index, const TokenPick& p) {
  const int32_t* at = index.as<int32_t>();
  for (int64_t i = 0; i < p.batch * p.picked; ++i)
    check(at[i] >= 0 && at[i] < p.length, "[{}] got index {} at {}, expected 0 to {}", op, at[i], i, p.length - 1);
  return at;
}

// Calls f(batch element, first column, last column) in parallel over both.
template <class F>
void for_each_strip(const TokenPick& p, F&& f) {
  const int64_t strips = std::clamp<int64_t>(std::min(p.columns / 16, 16 / std::max<int64_t>(1, p.batch)), 1, 16);
  parallel_ranges(p.batch * strips, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t s = i % strips;
      f(i / strips, p.columns * s / strips, p.columns * (s + 1) / strips);
    }
  });
}

template <class X, class Y>
void convert_row(const X* x, Y* y, int64_t count) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) store(&y[j], static_cast<Accumulator<Y>>(x[j]));
}

template <class F>
void dispatch_pair(DType x, DType y, F&& f) {
  dispatch_float(x, [&](auto tx) { dispatch_float(y, [&](auto ty) { f(tx, ty); }); });
}

}  // namespace

void run(const GatherRows& k, Stream) {
  const TokenPick& p = k.pick;
  const int32_t* index = checked("gather", k.index, p);
  dispatch_pair(k.x.dtype, k.y.dtype, [&](auto tx, auto ty) {
    const auto* x = k.x.as<decltype(tx)>();
    auto* y = k.y.as<decltype(ty)>();
    parallel_ranges(p.batch * p.picked, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, p.columns)),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i)
                        convert_row(x + (i / p.picked * p.length + index[i]) * p.columns, y + i * p.columns, p.columns);
                    });
  });
}

void run(const ScatterRows& k, Stream) {
  const TokenPick& p = k.pick;
  const int32_t* index = checked("scatter", k.index, p);
  dispatch_pair(k.x.dtype, k.y.dtype, [&](auto tx, auto ty) {
    using Y = decltype(ty);
    using S = Accumulator<Y>;
    const auto* x = k.x.as<decltype(tx)>();
    Y* y = k.y.as<Y>();
    for_each_strip(p, [&](int64_t b, int64_t first, int64_t last) {
      Y* to = y + b * p.length * p.columns;
      for (int64_t t = 0; t < p.length; ++t) std::fill(to + t * p.columns + first, to + t * p.columns + last, Y(0));
      for (int64_t i = b * p.picked; i < (b + 1) * p.picked; ++i) {
        const auto* from = x + i * p.columns;
        Y* row = to + index[i] * p.columns;
#pragma omp simd
        for (int64_t j = first; j < last; ++j) store(&row[j], static_cast<S>(row[j]) + static_cast<S>(from[j]));
      }
    });
  });
}

void run(const FillRows& k, Stream) {
  const TokenPick& p = k.pick;
  const int32_t* index = checked("scatter_tokens", k.index, p);
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* x = k.x.as<T>();
    const auto* fill = k.fill.as<Accumulator<T>>();
    T* y = k.y.as<T>();
    parallel_ranges(p.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        T* to = y + b * p.length * p.columns;
        for (int64_t t = 0; t < p.length; ++t) convert_row(fill, to + t * p.columns, p.columns);
        for (int64_t i = b * p.picked; i < (b + 1) * p.picked; ++i)
          std::copy_n(x + i * p.columns, p.columns, to + index[i] * p.columns);
      }
    });
  });
}

void run(const FillRowsBackward& k, Stream) {
  const TokenPick& p = k.pick;
  const int32_t* index = checked("scatter_tokens", k.index, p);
  std::vector<uint8_t> named(p.batch * p.length, 0);
  for (int64_t i = 0; i < p.batch * p.picked; ++i) named[i / p.picked * p.length + index[i]] = 1;
  dispatch_float(k.dy.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* dy = k.dy.as<T>();
    S* dfill = k.dfill.as<S>();
    parallel_ranges(p.columns, 16, [&](int64_t begin, int64_t end) {
      std::fill(dfill + begin, dfill + end, S(0));
      for (int64_t i = 0; i < p.batch * p.length; ++i) {
        if (named[i]) continue;
        const T* row = dy + i * p.columns;
#pragma omp simd
        for (int64_t j = begin; j < end; ++j) dfill[j] += static_cast<S>(row[j]);
      }
    });
  });
}

void run(const ReplaceRows& k, Stream) {
  const int32_t* mask = k.mask.as<int32_t>();
  dispatch_pair(k.x.dtype, k.y.dtype, [&](auto tx, auto ty) {
    using Y = decltype(ty);
    const auto* x = k.x.as<decltype(tx)>();
    const auto* fill = k.fill.as<Accumulator<Y>>();
    Y* y = k.y.as<Y>();
    const int64_t columns = k.columns;
    parallel_ranges(k.rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, columns)),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i) {
                        if (mask[i] != k.replaced)
                          convert_row(x + i * columns, y + i * columns, columns);
                        else if (fill)
                          convert_row(fill, y + i * columns, columns);
                        else
                          std::fill_n(y + i * columns, columns, Y(0));
                      }
                    });
  });
}

void run(const CopyBlocks& k, Stream) {
  dispatch_pair(k.x.dtype, k.y.dtype, [&](auto tx, auto ty) {
    const auto* x = k.x.as<decltype(tx)>() + k.x_offset;
    auto* y = k.y.as<decltype(ty)>() + k.y_offset;
    parallel_ranges(k.batch, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, k.count)),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t b = begin; b < end; ++b)
                        convert_row(x + b * k.x_stride, y + b * k.y_stride, k.count);
                    });
  });
}

}  // namespace gestalt::kernels::cpu
