// Sinkhorn's algorithm on the CPU: a row is read once a round, and stays in the first-level cache while it is used.
#include "kernels/sinkhorn.h"

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/columns.h"
#include "kernels/math.h"

namespace gestalt::kernels::cpu {
namespace {

template <class T>
class Passes {
  using S = Accumulator<T>;

 public:
  Passes(const Sinkhorn& k, Scratch memory)
      : rows_(k.walk()),
        classes_(k.classes),
        first_(rows_.first(k.use_extra.now())),
        share_(static_cast<S>(rows_.share(k.use_extra.now(), k.classes))),
        extra_(k.extra.as<S>()),
        scores_(k.scores.as<T>()),
        inverse_(static_cast<S>(1 / k.epsilon)),
        to_(memory, k) {}

  // The first sums over rows, relative to the largest exponent of all.
  void begin() {
    each_chunk([&](int64_t c, S* z) {
      S* sums = to_.partial + c * classes_;
      S top = std::numeric_limits<S>::lowest();
      for (int64_t b = rows_.begin(c); b < rows_.end(c); ++b) {
        load(b, z);
        S most = z[0];
#pragma omp simd reduction(max : most)
        for (int64_t j = 0; j < classes_; ++j) most = larger(most, z[j]);
        to_.shifts[b] = most;
        top = std::max(top, most);
      }
      to_.tops[c] = top;
      std::fill_n(sums, classes_, S(0));
      for (int64_t b = rows_.begin(c); b < rows_.end(c); ++b) {
        load(b, z);
#pragma omp simd
        for (int64_t j = 0; j < classes_; ++j) sums[j] += fast_exp(z[j] - top);
      }
    });
    const S top = *std::max_element(to_.tops + first_, to_.tops + rows_.chunks());
    set_gain([&](int64_t c) { return fast_exp(to_.tops[c] - top); });
  }
  void no_gain() { std::fill_n(to_.gain, classes_, S(1)); }

  void round() {
    each_chunk([&](int64_t c, S* z) {
      S* sums = to_.partial + c * classes_;
      std::fill_n(sums, classes_, S(0));
      for (int64_t b = rows_.begin(c); b < rows_.end(c); ++b) {
        const S by = 1 / mass(b, z);
#pragma omp simd
        for (int64_t j = 0; j < classes_; ++j) sums[j] += z[j] * by;
      }
    });
    set_gain([](int64_t) { return S(1); });
  }

  void assign(S* assignment) {
    first_ = rows_.extra_chunks();
    each_chunk([&](int64_t c, S* z) {
      S* sums = to_.partial + c * classes_;
      std::fill_n(sums, classes_, S(0));
      for (int64_t b = rows_.begin(c); b < rows_.end(c); ++b) {
        const S by = 1 / mass(b, z);
        S* q = assignment + (b - rows_.extra) * classes_;
        const S* gain = to_.gain;
#pragma omp simd
        for (int64_t j = 0; j < classes_; ++j) {
          q[j] = z[j] * gain[j] * by;
          sums[j] += q[j];
        }
      }
    });
    join([](int64_t) { return S(1); }, [&](S sum) { return sum / static_cast<S>(rows_.rows); });
  }

  void health(S* entropy, S* used) const {
    double sum = 0;
    int64_t count = 0;
    for (int64_t j = 0; j < classes_; ++j) {
      const double p = static_cast<double>(to_.gain[j]);
      if (p > 0) sum -= p * std::log(p);
      count += 2 * p * real(classes_) >= 1;
    }
    *entropy = static_cast<S>(sum);
    *used = static_cast<S>(real(count) / real(classes_));
  }

 private:
  // z[j] = exponents of row b.
  void load(int64_t b, S* z) const {
    const S by = inverse_;
    if (b < rows_.extra) {
      const S* row = extra_ + b * classes_;
#pragma omp simd
      for (int64_t j = 0; j < classes_; ++j) z[j] = row[j] * by;
    } else {
      const T* row = scores_ + (b - rows_.extra) * classes_;
#pragma omp simd
      for (int64_t j = 0; j < classes_; ++j) z[j] = static_cast<S>(row[j]) * by;
    }
  }
  // z[j] = e_bj; returns Σ_j e_bj u_j. Inlined, gcc 12 copies its loops and makes one copy of each scalar.
  [[gnu::noinline]] S mass(int64_t b, S* z) const {
    load(b, z);
    const S shift = to_.shifts[b], *gain = to_.gain;
    S sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < classes_; ++j) {
      const S e = fast_exp(z[j] - shift);
      z[j] = e;
      sum += e * gain[j];
    }
    return std::max(sum, static_cast<S>(sinkhorn_least));
  }

  // Calls f(chunk, room for a row).
  template <class F>
  void each_chunk(F&& f) const {
    const int64_t grain = std::max<int64_t>(1, 8192 / (SinkhornRows::chunk * classes_));
    parallel_ranges(rows_.chunks() - first_, grain, [&](int64_t begin, int64_t end) {
      std::vector<S> z(static_cast<size_t>(classes_));
      for (int64_t c = first_ + begin; c < first_ + end; ++c) f(c, z.data());
    });
  }
  // gain = finish(Σ_c weight(c) · partial of chunk c).
  template <class Weight, class Finish>
  void join(Weight&& weight, Finish&& finish) {
    const int64_t chunks = rows_.chunks();
    for_each_strip(chunks - first_, classes_, [&](int64_t begin, int64_t width) {
      S sum[strip] = {};
      for (int64_t c = first_; c < chunks; ++c) {
        const S *from = to_.partial + c * classes_ + begin, by = weight(c);
#pragma omp simd
        for (int64_t j = 0; j < width; ++j) sum[j] += from[j] * by;
      }
      for (int64_t j = 0; j < width; ++j) to_.gain[begin + j] = finish(sum[j]);
    });
  }
  template <class Weight>
  void set_gain(Weight&& weight) {
    join(weight, [&](S sum) { return share_ / std::max(sum, static_cast<S>(sinkhorn_least)); });
  }

  SinkhornRows rows_;
  int64_t classes_, first_;
  S share_;
  const S* extra_;
  const T* scores_;
  S inverse_;
  SinkhornScratch<S> to_;
};

}  // namespace

void run(const Sinkhorn& k, Stream stream) {
  dispatch_float(k.scores.dtype, [&](auto tag) {
    using S = Accumulator<decltype(tag)>;
    Passes<decltype(tag)> passes(k, Scratch(stream.scratch));
    passes.begin();
    if (k.rounds == 0) passes.no_gain();
    for (int64_t r = 1; r < k.rounds; ++r) passes.round();
    passes.assign(k.assignment.as<S>());
    passes.health(k.mean_entropy.as<S>(), k.used.as<S>());
  });
}

}  // namespace gestalt::kernels::cpu
