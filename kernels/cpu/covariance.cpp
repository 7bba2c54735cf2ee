// Losses on the statistics of a batch on the CPU.
#include "kernels/covariance.h"

#include <cmath>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/write.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t grain = 8192;  // elements below which a second thread costs more than it brings

int64_t row_grain(int64_t columns) { return std::max<int64_t>(1, grain / std::max<int64_t>(1, columns)); }

double total(const double* partial, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += partial[i];
  return sum;
}

constexpr int64_t block = 512;  // numbers of all views that are looked at together

// sums[i] = Σ of the views' z[i] for the first `count` numbers of the first `views`; `stride` lies between views.
template <class T, class S>
void sum_views(const T* z, int64_t views, int64_t stride, int64_t count, S* sums) {
  std::fill_n(sums, count, S(0));
  for (int64_t v = 0; v < views; ++v) {
    const T* from = z + v * stride;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<S>(from[i]);
  }
}

}  // namespace

void run(const MeanSquared& k, Stream stream) {
  dispatch_float(k.a.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T *a = k.a.as<T>(), *b = k.b.as<T>();
    auto* partial = static_cast<double*>(stream.scratch);
    const int64_t chunk = squares_chunk(k.count), chunks = squares_chunks(k.count);
    parallel_ranges(chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = c * chunk; i < std::min(k.count, (c + 1) * chunk); ++i) {
          const S d = static_cast<S>(a[i]) - static_cast<S>(b[i]);
          sum += static_cast<double>(d) * static_cast<double>(d);
        }
        partial[c] = sum;
      }
    });
    k.loss.as<S>()[0] = static_cast<S>(total(partial, chunks) / static_cast<double>(k.count));
  });
}

void run(const MeanSquaredBackward& k, Stream) {
  dispatch_float(k.a.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T *a = k.a.as<T>(), *b = k.b.as<T>();
    T *da = k.da.as<T>(), *db = k.db.as<T>();
    const S factor = static_cast<S>(2 * k.dloss.as<S>()[0] / static_cast<double>(k.count));
    parallel_ranges(k.count, grain, [&](int64_t begin, int64_t end) {
      const auto slope = [a, b, factor](int64_t i) { return factor * (static_cast<S>(a[i]) - static_cast<S>(b[i])); };
      if (da) write_range(da, begin, end, slope);
      if (db) write_range(db, begin, end, [slope](int64_t i) { return -slope(i); });
    });
  });
}

void run(const ViewDistance& k, Stream stream) {
  dispatch_float(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* z = k.z.as<T>();
    auto* partial = static_cast<double*>(stream.scratch);
    const int64_t chunk = squares_chunk(k.count), chunks = squares_chunks(k.count);
    parallel_ranges(chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        double sum = 0;
        const int64_t last = std::min(k.count, (c + 1) * chunk);
        for (int64_t first = c * chunk; first < last; first += block) {
          const int64_t count = std::min(block, last - first);
          S sums[block];
          sum_views(z + first, k.centres, k.count, count, sums);
          const S share = S(1) / static_cast<S>(k.centres);
          for (int64_t v = 0; v < k.views; ++v) {
            const T* from = z + v * k.count + first;
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < count; ++i) {
              const S d = static_cast<S>(from[i]) - share * sums[i];
              sum += static_cast<double>(d) * static_cast<double>(d);
            }
          }
        }
        partial[c] = sum;
      }
    });
    k.loss.as<S>()[0] = static_cast<S>(total(partial, chunks) / real(k.views * k.count));
  });
}

void run(const ViewDistanceBackward& k, Stream) {
  dispatch_float(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* z = k.z.as<T>();
    T* dz = k.dz.as<T>();
    const S factor = static_cast<S>(2 * k.dloss.as<S>()[0] / real(k.views * k.count));
    const S share = S(1) / static_cast<S>(k.centres), views = static_cast<S>(k.views);
    parallel_ranges((k.count + block - 1) / block, grain / block, [&](int64_t begin, int64_t end) {
      for (int64_t first = begin * block; first < std::min(k.count, end * block); first += block) {
        const int64_t count = std::min(block, k.count - first);
        S centre[block], all[block];
        sum_views(z + first, k.centres, k.count, count, centre);
        sum_views(z + first, k.views, k.count, count, all);
        for (int64_t i = 0; i < count; ++i) centre[i] *= share;
        for (int64_t v = 0; v < k.views; ++v) {
          const T* from = z + v * k.count + first;
          const S pulled = v < k.centres ? share : S(0);
          write_range(dz + v * k.count + first, 0, count, [=, c = &centre[0], a = &all[0]](int64_t i) {
            return factor * (static_cast<S>(from[i]) - c[i] - pulled * (a[i] - views * c[i]));
          });
        }
      }
    });
  });
}

void run(const VarianceHinge& k, Stream) {
  dispatch_float(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* z = k.z.as<T>();
    S *means = k.mean.as<S>(), *stds = k.std.as<S>();
    for_each_strip(k.rows, k.columns, [&](int64_t first, int64_t width) {
      S mean[strip], squares[strip] = {};
      strip_means(z + first, k.rows, k.columns, width, mean);
      for (int64_t i = 0; i < k.rows; ++i) {
        const T* row = z + i * k.columns + first;
#pragma omp simd
        for (int64_t j = 0; j < width; ++j) {
          const S d = static_cast<S>(row[j]) - mean[j];
          squares[j] += d * d;
        }
      }
      for (int64_t j = 0; j < width; ++j) {
        means[first + j] = mean[j];
        stds[first + j] = std::sqrt(squares[j] / static_cast<S>(k.rows - 1) + static_cast<S>(k.eps));
      }
    });
    double sum = 0;
    for (int64_t j = 0; j < k.columns; ++j) sum += std::max(0.0, k.target - static_cast<double>(stds[j]));
    k.loss.as<S>()[0] = static_cast<S>(sum / static_cast<double>(k.columns));
  });
}

void run(const VarianceHingeBackward& k, Stream) {
  dispatch_float(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* z = k.z.as<T>();
    T* dz = k.dz.as<T>();
    const S *mean = k.mean.as<S>(), *std = k.std.as<S>();
    const S factor = static_cast<S>(-k.dloss.as<S>()[0] / (real(k.columns) * real(k.rows - 1)));
    const S target = static_cast<S>(k.target);
    parallel_ranges(k.rows, row_grain(k.columns), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* row = z + i * k.columns;
        write_range(dz + i * k.columns, 0, k.columns, [=](int64_t j) {
          return std[j] < target ? factor / std[j] * (static_cast<S>(row[j]) - mean[j]) : S(0);
        });
      }
    });
  });
}

void run(const CentreColumns& k, Stream) {
  dispatch_float(k.z.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* z = k.z.as<T>();
    T* y = k.y.as<T>();
    for_each_strip(k.rows, k.columns, [&](int64_t first, int64_t width) {
      S mean[strip];
      strip_means(z + first, k.rows, k.columns, width, mean);
      const S* shift = mean;
      for (int64_t i = 0; i < k.rows; ++i) {
        const T* row = z + i * k.columns + first;
        write_range(y + i * k.columns + first, 0, width, [=](int64_t j) { return static_cast<S>(row[j]) - shift[j]; });
      }
    });
  });
}

void run(const OffDiagonal& k, Stream stream) {
  dispatch_float(k.products.dtype, [&](auto tag) {
    using S = decltype(tag);
    if constexpr (std::is_same_v<S, BFloat16>) {
      fail("[off_diagonal] got products of bf16, expected them in their accumulator's dtype");
    } else {
      const S* products = k.products.as<S>();
      const S scale = static_cast<S>(k.scale);
      auto* partial = static_cast<double*>(stream.scratch);
      const DType off = k.off_diagonal ? k.off_diagonal.dtype : k.products.dtype;
      dispatch_float(off, [&](auto written) {
        using T = decltype(written);
        T* to = k.off_diagonal.as<T>();
        parallel_ranges(k.dim, row_grain(k.dim), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const S* row = products + i * k.dim;
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t j = 0; j < k.dim; ++j) {
              const auto c = static_cast<double>(scale * row[j]);
              sum += j == i ? 0.0 : c * c;
            }
            partial[i] = sum;
            if (!to) continue;
            write_range(to + i * k.dim, 0, k.dim, [=](int64_t j) { return scale * row[j]; });
            to[i * k.dim + i] = T(0);
          }
        });
      });
      k.loss.as<S>()[0] = static_cast<S>(total(partial, k.dim) / static_cast<double>(k.dim));
    }
  });
}

void run(const CrossCorrelation& k, Stream stream) {
  dispatch_float(k.products.dtype, [&](auto tag) {
    using S = decltype(tag);
    if constexpr (std::is_same_v<S, BFloat16>) {
      fail("[cross_correlation] got products of bf16, expected them in their accumulator's dtype");
    } else {
      const S* products = k.products.as<S>();
      const S scale = static_cast<S>(k.scale), slope_by = static_cast<S>(2 * k.off_weight * k.scale);
      auto* losses = static_cast<double*>(stream.scratch);
      double *diagonals = losses + k.dim, *magnitudes = diagonals + k.dim;
      dispatch_float(k.slope ? k.slope.dtype : k.products.dtype, [&](auto written) {
        using T = decltype(written);
        T* to = k.slope.as<T>();
        parallel_ranges(k.dim, row_grain(k.dim), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const S* row = products + i * k.dim;
            double squares = 0, magnitude = 0;
            const auto add = [&](int64_t first, int64_t last) {
#pragma omp simd reduction(+ : squares, magnitude)
              for (int64_t j = first; j < last; ++j) {
                const auto c = static_cast<double>(scale * row[j]);
                squares += c * c;
                magnitude += std::abs(c);
              }
            };
            add(0, i);
            add(i + 1, k.dim);
            const double c_ii = static_cast<double>(scale * row[i]);
            losses[i] = (c_ii - 1) * (c_ii - 1) + k.off_weight * squares;
            diagonals[i] = c_ii;
            magnitudes[i] = magnitude;
            if (!to) continue;
            write_range(to + i * k.dim, 0, k.dim, [=](int64_t j) { return slope_by * row[j]; });
            to[i * k.dim + i] = static_cast<T>(static_cast<S>(2 * (c_ii - 1)));
          }
        });
      });
      k.loss.as<S>()[0] = static_cast<S>(total(losses, k.dim));
      k.diagonal.as<S>()[0] = static_cast<S>(total(diagonals, k.dim) / real(k.dim));
      k.redundancy.as<S>()[0] =
          static_cast<S>(total(magnitudes, k.dim) / real(k.dim * std::max<int64_t>(1, k.dim - 1)));
    }
  });
}

void run(const ScaleBy& k, Stream) {
  dispatch_float(k.y.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const S* x = k.x.as<S>();
    T* y = k.y.as<T>();
    const S factor = static_cast<S>(k.scale * static_cast<double>(k.factor.as<S>()[0]));
    parallel_ranges(k.count, grain, [&](int64_t begin, int64_t end) {
      write_range(y, begin, end, [x, factor](int64_t i) { return factor * x[i]; });
    });
  });
}

}  // namespace gestalt::kernels::cpu
