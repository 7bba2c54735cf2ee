// The loss of prediction in feature space on the CPU: one row at a time, its target in the first-level cache.
#include "kernels/feature_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

// Here and not where threads run, so that the exception reaches the caller.
void check_index(const PickedFeatures& k) {
  const int32_t* index = k.index.as<int32_t>();
  for (int64_t i = 0; i < k.rows(); ++i)
    check(index[i] >= 0 && index[i] < k.pick.length, "[feature_loss] got index {}, expected 0 to {}", index[i],
          k.pick.length - 1);
}

template <class T, class S>
void read_target(const T* row, int64_t columns, S* target) {
  S sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < columns; ++j) sum += target[j] = static_cast<S>(row[j]);
  const S mean = sum / static_cast<S>(columns);
#pragma omp simd reduction(+ : squares)
  for (int64_t j = 0; j < columns; ++j) squares += (target[j] - mean) * (target[j] - mean);
  const S inverse = 1 / std::sqrt(squares / static_cast<S>(columns) + static_cast<S>(PickedFeatures::epsilon));
#pragma omp simd
  for (int64_t j = 0; j < columns; ++j) target[j] = (target[j] - mean) * inverse;
}

// Calls f(row, prediction, target) for every row.
template <class T, class F>
void for_each_row(const PickedFeatures& k, F&& f) {
  const T *predictions = k.predictions.as<T>(), *features = k.features.as<T>();
  const int32_t* index = k.index.as<int32_t>();
  const int64_t columns = k.pick.columns;
  parallel_ranges(k.rows(), std::max<int64_t>(1, 4096 / columns), [&](int64_t begin, int64_t end) {
    std::vector<Accumulator<T>> target(static_cast<size_t>(columns));
    for (int64_t i = begin; i < end; ++i) {
      read_target(features + (i / k.pick.picked * k.pick.length + index[i]) * columns, columns, target.data());
      f(i, predictions + i * columns, target.data());
    }
  });
}

}  // namespace

void run(const FeatureLoss& k, Stream stream) {
  check_index(k.of);
  dispatch_float(k.of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const int64_t columns = k.of.pick.columns;
    S* partial = static_cast<S*>(stream.scratch);
    for_each_row<T>(k.of, [&](int64_t i, const T* prediction, const S* target) {
      S sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < columns; ++j) {
        const S d = std::abs(static_cast<S>(prediction[j]) - target[j]);
        sum += d < 1 ? d * d / 2 : d - S(0.5);
      }
      partial[i] = sum;
    });
    double total = 0;
    for (int64_t i = 0; i < k.of.rows(); ++i) total += static_cast<double>(partial[i]);
    k.loss.as<S>()[0] = static_cast<S>(total * k.of.share());
  });
}

void run(const FeatureLossBackward& k, Stream) {
  dispatch_float(k.of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const int64_t columns = k.of.pick.columns;
    const S factor = static_cast<S>(k.of.share()) * k.dloss.as<S>()[0];
    T* to = k.dpredictions.as<T>();
    for_each_row<T>(k.of, [&](int64_t i, const T* prediction, const S* target) {
      T* row = to + i * columns;
#pragma omp simd
      for (int64_t j = 0; j < columns; ++j) {
        const S d = static_cast<S>(prediction[j]) - target[j];
        store(&row[j], factor * (d < -1 ? S(-1) : (d > 1 ? S(1) : d)));
      }
    });
  });
}

}  // namespace gestalt::kernels::cpu
