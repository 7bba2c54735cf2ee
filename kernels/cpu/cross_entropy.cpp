// Token cross-entropy on the CPU.
#include "kernels/cross_entropy.h"

#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/math.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t chunk = 1024;  // logits that are read from memory once, and then twice more from the first cache

template <class S>
struct RowSums {
  S lse;
  S logits;  // Σ z
};

template <class T>
RowSums<Accumulator<T>> row_sums(const T* z, int64_t classes) {
  using S = Accumulator<T>;
  S most = static_cast<S>(z[0]), sum = 0, logits = 0;
  for (int64_t first = 0; first < classes; first += chunk) {
    const int64_t last = std::min(classes, first + chunk);
    S top = most;
#pragma omp simd reduction(max : top) reduction(+ : logits)
    for (int64_t j = first; j < last; ++j) {
      top = larger(top, static_cast<S>(z[j]));
      logits += static_cast<S>(z[j]);
    }
    S part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t j = first; j < last; ++j) part += fast_exp(static_cast<S>(z[j]) - top);
    sum = sum * fast_exp(most - top) + part;
    most = top;
  }
  return {most + std::log(sum), logits};
}

// dz = gain · (softmax − smoothed target), which may be z.
template <class T, class S>
void write_gradient(const T* z, T* dz, int64_t classes, int32_t target, S lse, S gain, S smoothing) {
  const S floor = smoothing / static_cast<S>(classes);
  const S at_target = fast_exp(static_cast<S>(z[target]) - lse) - floor - (S(1) - smoothing);
#pragma omp simd
  for (int64_t j = 0; j < classes; ++j) store(&dz[j], gain * (fast_exp(static_cast<S>(z[j]) - lse) - floor));
  store(&dz[target], gain * at_target);
}

int64_t grain(int64_t classes) { return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, classes)); }

}  // namespace

void run(const CrossEntropy& k, Stream stream) {
  const int32_t* target = k.target.as<int32_t>();
  int64_t counted = 0;
  for (int64_t i = 0; i < k.rows; ++i) {
    if (target[i] == k.ignore) continue;
    check(target[i] >= 0 && target[i] < k.classes, "[cross_entropy] got target {} in row {}, expected 0 to {} or {}",
          target[i], i, k.classes - 1, k.ignore);
    ++counted;
  }
  const double share = counted ? 1 / static_cast<double>(counted) : 0;
  dispatch_float(k.logits.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* logits = k.logits.as<T>();
    T* dlogits = k.dlogits.as<T>();
    S* row_loss = static_cast<S*>(stream.scratch);
    const S smoothing = static_cast<S>(k.smoothing), mean = smoothing / static_cast<S>(k.classes);
    const S gain = static_cast<S>(share) * static_cast<S>(k.dloss);
    parallel_ranges(k.rows, grain(k.classes), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* z = logits + i * k.classes;
        T* dz = dlogits ? dlogits + i * k.classes : nullptr;
        row_loss[i] = 0;
        if (target[i] == k.ignore) {
          if (dz) std::fill_n(dz, k.classes, T(0));
          continue;
        }
        const RowSums<S> sums = row_sums(z, k.classes);
        row_loss[i] = sums.lse - (S(1) - smoothing) * static_cast<S>(z[target[i]]) - mean * sums.logits;
        if (dz) write_gradient(z, dz, k.classes, target[i], sums.lse, gain, smoothing);
      }
    });
    double total = 0;
    for (int64_t i = 0; i < k.rows; ++i) total += row_loss[i];
    k.loss.as<S>()[0] = static_cast<S>(total * share);
  });
}

}  // namespace gestalt::kernels::cpu
