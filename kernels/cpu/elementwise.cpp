// Flat element-by-element kernels on the CPU.
#include "kernels/elementwise.h"

#include <cstring>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/write.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t grain = 16384;  // elements below which a second thread costs more than it brings

template <class F>
void dispatch_any(DType dtype, F&& f) {
  switch (dtype) {
    case DType::u8:
      return f(uint8_t{});
    case DType::i32:
      return f(int32_t{});
    default:
      return dispatch_float(dtype, f);
  }
}

// Σ x in f64, by blocks in the accumulator's type: compilers have no vectors for bf16 to f64.
template <class T>
double sum_of(const T* x, int64_t count) {
  constexpr int64_t block = 512;
  Accumulator<T> wide[block];
  double sum = 0;
  for (int64_t first = 0; first < count; first += block) {
    const T* from = x + first;
    const int64_t n = std::min(block, count - first);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) wide[i] = static_cast<Accumulator<T>>(from[i]);
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(wide[i]);
  }
  return sum;
}

// sums[j] += Σ_i x[i, j], four rows at a time.
template <class T>
void add_rows(const T* x, int64_t rows, int64_t columns, Accumulator<T>* sums) {
  using S = Accumulator<T>;
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const T *a = x + i * columns, *b = a + columns, *c = b + columns, *d = c + columns;
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j)
      sums[j] += (static_cast<S>(a[j]) + static_cast<S>(b[j])) + (static_cast<S>(c[j]) + static_cast<S>(d[j]));
  }
  for (; i < rows; ++i) {
    const T* row = x + i * columns;
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) sums[j] += static_cast<S>(row[j]);
  }
}

// y[j] = the sum of column j. add(first row, rows, sums) adds rows to sums: whole ones, as the memory lies, in chunks
// that depend on the sizes only.
template <class S, class F>
void column_sums(S* y, int64_t rows, int64_t columns, F&& add) {
  const int64_t chunk = std::max<int64_t>(64, (rows + 15) / 16), chunks = (rows + chunk - 1) / chunk;
  thread_local std::vector<S> memory;
  memory.resize(chunks * columns);
  std::fill_n(memory.data(), chunks * columns, S(0));
  S* partial = memory.data();  // of the calling thread, for all
  parallel_ranges(chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) add(c * chunk, std::min(chunk, rows - c * chunk), partial + c * columns);
  });
  std::fill_n(y, columns, S(0));
  add_rows(partial, chunks, columns, y);
}

}  // namespace

void run(const Fill& k, Stream) {
  dispatch_any(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* y = k.y.as<T>();
    const T value = static_cast<T>(static_cast<Accumulator<T>>(k.value));
    parallel_ranges(k.count, grain, [&](int64_t begin, int64_t end) { std::fill(y + begin, y + end, value); });
  });
}

void run(const Convert& k, Stream) {
  if (k.x.dtype == k.y.dtype) {
    const int64_t size = size_of(k.x.dtype);
    parallel_ranges(k.count, grain, [&](int64_t begin, int64_t end) {
      std::memcpy(static_cast<char*>(k.y.data) + begin * size, static_cast<const char*>(k.x.data) + begin * size,
                  (end - begin) * size);
    });
    return;
  }
  dispatch_any(k.x.dtype, [&](auto from) {
    dispatch_float(k.y.dtype, [&](auto to) {
      using X = decltype(from);
      using Y = decltype(to);
      const X* x = k.x.as<X>();
      Y* y = k.y.as<Y>();
      parallel_ranges(k.count, grain, [&](int64_t begin, int64_t end) {
        write_range(y, begin, end, [=](int64_t i) { return static_cast<Accumulator<Y>>(x[i]); });
      });
    });
  });
}

void run(const Combine& k, Stream) {
  dispatch_float(k.y.dtype, [&](auto ty) {
    dispatch_float(k.a.dtype, [&](auto ta) {
      dispatch_float(k.b.dtype, [&](auto tb) {
        using Y = decltype(ty);
        using S = Accumulator<Y>;
        const auto* a = k.a.as<decltype(ta)>();
        const auto* b = k.b.as<decltype(tb)>();
        Y* y = k.y.as<Y>();
        const S sa = static_cast<S>(k.a_scale), sb = static_cast<S>(k.b_scale);
        parallel_ranges(k.count, grain, [&](int64_t begin, int64_t end) {
          write_range(y, begin, end, [=](int64_t i) { return sa * static_cast<S>(a[i]) + sb * static_cast<S>(b[i]); });
        });
      });
    });
  });
}

void run(const Multiply& k, Stream) {
  dispatch_float(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T *a = k.a.as<T>(), *b = k.b.as<T>();
    T* y = k.y.as<T>();
    parallel_ranges(k.count, grain, [&](int64_t begin, int64_t end) {
      write_range(y, begin, end, [=](int64_t i) { return static_cast<S>(a[i]) * static_cast<S>(b[i]); });
    });
  });
}

void run(const Pointwise& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* x = k.x.as<T>();
    T* y = k.y.as<T>();
    std::visit(
        [&](auto formula) {
          parallel_ranges(k.count, grain / 4, [&](int64_t begin, int64_t end) {
            write_range(y, begin, end, [=](int64_t i) { return formula.f(static_cast<Accumulator<T>>(x[i])); });
          });
        },
        k.formula);
  });
}

void run(const PointwiseBackward& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T *x = k.x.as<T>(), *dy = k.dy.as<T>();
    T* dx = k.dx.as<T>();
    std::visit(
        [&](auto formula) {
          parallel_ranges(k.count, grain / 4, [&](int64_t begin, int64_t end) {
            write_range(dx, begin, end,
                        [=](int64_t i) { return static_cast<S>(dy[i]) * formula.df(static_cast<S>(x[i])); });
          });
        },
        k.formula);
  });
}

void run(const Sum& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* x = k.x.as<T>();
    constexpr int64_t chunk = 4096;  // fixed, so that the order of the sum does not depend on the threads
    std::vector<double> partial((k.count + chunk - 1) / chunk);
    parallel_ranges(static_cast<int64_t>(partial.size()), 4, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) partial[c] = sum_of(x + c * chunk, std::min(chunk, k.count - c * chunk));
    });
    double total = 0;
    for (double p : partial) total += p;
    dispatch_float(k.y.dtype, [&](auto out) {
      using Y = decltype(out);
      k.y.as<Y>()[0] = static_cast<Y>(static_cast<Accumulator<Y>>(total * k.scale));
    });
  });
}

void run(const ColumnSum& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* x = k.x.as<T>();
    column_sums(k.y.as<S>(), k.rows, k.columns,
                [&](int64_t first, int64_t rows, S* sums) { add_rows(x + first * k.columns, rows, k.columns, sums); });
  });
}

void run(const PointwiseBackwardSums& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T *x = k.x.as<T>(), *dy = k.dy.as<T>();
    T* dx = k.dx.as<T>();
    const int64_t n = k.columns;
    std::visit(
        [&](auto formula) {
          column_sums(k.sums.as<S>(), k.rows, n, [&](int64_t first, int64_t rows, S* sums) {
            for (int64_t i = first; i < first + rows; i += 4) {
              const int64_t begin = i * n, end = std::min(i + 4, first + rows) * n;
              write_range(dx, begin, end,
                          [=](int64_t j) { return static_cast<S>(dy[j]) * formula.df(static_cast<S>(x[j])); });
              add_rows(dx + begin, (end - begin) / std::max<int64_t>(1, n), n, sums);
            }
          });
        },
        k.formula);
  });
}

void run(const AddRow& k, Stream) {
  dispatch_float(k.x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* x = k.x.as<T>();
    const S* row = k.row.as<S>();
    T* y = k.y.as<T>();
    const int64_t n = k.columns;
    parallel_ranges(k.rows, std::max<int64_t>(1, grain / std::max<int64_t>(1, n)), [&](int64_t begin, int64_t end) {
      if (n == 1)
        return write_range(y, begin, end, [x, add = row[0]](int64_t i) { return static_cast<S>(x[i]) + add; });
      for (int64_t i = begin; i < end; ++i) {
        const T* from = x + i * n;
        write_range(y + i * n, 0, n, [=](int64_t j) { return static_cast<S>(from[j]) + row[j]; });
      }
    });
  });
}

}  // namespace gestalt::kernels::cpu
