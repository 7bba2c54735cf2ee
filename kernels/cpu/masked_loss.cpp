// The masked reconstruction loss on the CPU: one masked patch at a time, its target in the first-level cache.
#include "kernels/masked_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/parallel.h"

namespace gestalt::kernels::cpu {
namespace {

int64_t grain_of(const PatchGrid& grid) { return std::max<int64_t>(1, 4096 / std::max<int64_t>(1, grid.size())); }

// Reads patch n of image b, normalised if asked, as accumulators.
template <class S>
void read_target(const MaskedPatches& k, const S* images, int64_t b, int64_t n, S* target) {
  const int64_t row = k.grid.side * 3, size = k.grid.size();
  for (int64_t r = 0; r < k.grid.side; ++r) std::copy_n(images + k.grid.row_begin(b, n, r), row, target + r * row);
  if (!k.normalise) return;
  S sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) sum += target[i];
  const S mean = sum / static_cast<S>(size);
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < size; ++i) squares += (target[i] - mean) * (target[i] - mean);
  const S inverse = 1 / std::sqrt(squares / static_cast<S>(size - 1) + static_cast<S>(patch_variance_epsilon));
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) target[i] = (target[i] - mean) * inverse;
}

// Calls f(position in `masked`, prediction, target) for masked patches [begin, end).
template <class T, class F>
void for_each_masked(const MaskedPatches& k, int64_t begin, int64_t end, F&& f) {
  const T* predictions = k.predictions.as<T>();
  const auto* images = k.images.as<Accumulator<T>>();
  const int32_t* masked = k.masked.as<int32_t>();
  std::vector<Accumulator<T>> target(static_cast<size_t>(k.grid.size()));
  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / k.count, n = masked[i];
    read_target(k, images, b, n, target.data());
    f(i, predictions + (b * k.grid.patches() + n) * k.grid.size(), target.data());
  }
}

// Here and not where threads run, so that the exception reaches the caller.
void check_masked(const MaskedPatches& k) {
  const int32_t* masked = k.masked.as<int32_t>();
  for (int64_t i = 0; i < k.grid.batch * k.count; ++i)
    check(masked[i] >= 0 && masked[i] < k.grid.patches(),
          "[masked_loss] got masked patch {} of image {}, expected 0 to {}", masked[i], i / k.count,
          k.grid.patches() - 1);
}

double share_of(const MaskedPatches& k) { return 1.0 / static_cast<double>(k.grid.batch * k.count * k.grid.size()); }

}  // namespace

void run(const MaskedLoss& k, Stream stream) {
  check_masked(k.of);
  dispatch_float(k.of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const int64_t size = k.of.grid.size(), patches = k.of.grid.batch * k.of.count;
    S* partial = static_cast<S*>(stream.scratch);
    parallel_ranges(patches, grain_of(k.of.grid), [&](int64_t begin, int64_t end) {
      for_each_masked<T>(k.of, begin, end, [&](int64_t i, const T* prediction, const S* target) {
        S sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < size; ++j) {
          const S d = static_cast<S>(prediction[j]) - target[j];
          sum += d * d;
        }
        partial[i] = sum;
      });
    });
    double total = 0;
    for (int64_t i = 0; i < patches; ++i) total += partial[i];
    k.loss.as<S>()[0] = static_cast<S>(total * share_of(k.of));
  });
}

void run(const MaskedLossBackward& k, Stream) {
  dispatch_float(k.of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const int64_t size = k.of.grid.size(), all = k.of.grid.patches();
    const S factor = static_cast<S>(2 * share_of(k.of)) * k.dloss.as<S>()[0];
    const int32_t* masked = k.of.masked.as<int32_t>();
    T* d = k.dpredictions.as<T>();
    parallel_ranges(k.of.grid.batch, 1, [&](int64_t first, int64_t last) {
      std::fill(d + first * all * size, d + last * all * size, T(0));
      for_each_masked<T>(k.of, first * k.of.count, last * k.of.count,
                         [&](int64_t i, const T* prediction, const S* target) {
                           T* to = d + (i / k.of.count * all + masked[i]) * size;
#pragma omp simd
                           for (int64_t j = 0; j < size; ++j)
                             store(&to[j], factor * (static_cast<S>(prediction[j]) - target[j]));
                         });
    });
  });
}

}  // namespace gestalt::kernels::cpu
