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

// The sum of the squared errors of a patch. Where `d` is given, gain times each error is written there.
template <class T, class S>
S take_errors(const T* prediction, const S* target, int64_t size, T* d, S gain) {
  S sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < size; ++j) {
    const S error = static_cast<S>(prediction[j]) - target[j];
    sum += error * error;
  }
  if (d)
#pragma omp simd
    for (int64_t j = 0; j < size; ++j) store(&d[j], gain * (static_cast<S>(prediction[j]) - target[j]));
  return sum;
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
  const PatchGrid& grid = k.of.grid;
  const int64_t size = grid.size(), all = grid.patches(), count = k.of.count;
  dispatch_float(k.of.predictions.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* predictions = k.of.predictions.as<T>();
    const S* images = k.of.images.as<S>();
    const int32_t* masked = k.of.masked.as<int32_t>();
    T* d = k.dpredictions.as<T>();
    S* partial = static_cast<S*>(stream.scratch);
    const S gain = static_cast<S>(2 * share_of(k.of) * k.dloss);
    // Threads take whole images where the gradient of the others' patches is to be zeroed.
    const int64_t together = d ? count : 1;
    parallel_ranges(grid.batch * count / together, d ? 1 : grain_of(grid), [&](int64_t begin, int64_t end) {
      std::vector<S> target(static_cast<size_t>(size));
      if (d) std::fill(d + begin * all * size, d + end * all * size, T(0));
      for (int64_t i = begin * together; i < end * together; ++i) {
        const int64_t b = i / count, at = (b * all + masked[i]) * size;
        read_target(k.of, images, b, masked[i], target.data());
        partial[i] = take_errors<T, S>(predictions + at, target.data(), size, d ? d + at : nullptr, gain);
      }
    });
    double total = 0;
    for (int64_t i = 0; i < grid.batch * count; ++i) total += partial[i];
    k.loss.as<S>()[0] = static_cast<S>(total * share_of(k.of));
  });
}

}  // namespace gestalt::kernels::cpu
