// Soft cross-entropy and DINO's centre on the CPU: rows in chunks that stay in the first-level cache.
#include "kernels/soft_cross_entropy.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/columns.h"
#include "kernels/math.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t chunk = 512;  // classes at a time

int64_t grain(int64_t classes) { return std::max<int64_t>(1, 4096 / std::max<int64_t>(1, classes)); }

// Over the elements seen so far: Σ e^(z − most) and Σ (z − most) e^(z − most).
template <class S>
struct Running {
  S most = std::numeric_limits<S>::lowest(), sum = 0, moment = 0;

  void add(const S* z, int64_t count) {
    S top = most;
#pragma omp simd reduction(max : top)
    for (int64_t j = 0; j < count; ++j) top = larger(top, z[j]);
    if (top > most) {
      const S gap = most - top, shrink = fast_exp(gap);
      moment = (moment + (sum > 0 ? gap * sum : 0)) * shrink;
      sum *= shrink;
      most = top;
    }
    S more = 0, moments = 0;
#pragma omp simd reduction(+ : more, moments)
    for (int64_t j = 0; j < count; ++j) {
      const S e = fast_exp(z[j] - top);
      more += e;
      moments += (z[j] - top) * e;
    }
    sum += more;
    moment += moments;
  }
  S lse() const { return most + std::log(sum); }
  S entropy() const { return std::log(sum) - moment / sum; }
};

// The target rows, with their softmax where they are logits.
template <class T>
struct Targets {
  using S = Accumulator<T>;

  Targets(const SoftTargets& of, const SoftPairs& pairs, int64_t classes)
      : pairs(pairs),
        classes(classes),
        logits(of.probabilities ? nullptr : of.rows.as<T>()),
        probabilities(of.probabilities ? of.rows.as<S>() : nullptr),
        centre(of.centre.as<S>()),
        inverse(of.probabilities ? S(1) : static_cast<S>(1 / of.temperature.now())) {}

  // z[j] = (logit − centre) / temperature of target row t, classes [first, first + count).
  void scaled(int64_t t, int64_t first, int64_t count, S* z) const {
    const T* row = logits + t * classes + first;
    const S by = inverse;
    if (centre) {
      const S* shift = centre + first;
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) z[j] = (static_cast<S>(row[j]) - shift[j]) * by;
    } else {
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) z[j] = static_cast<S>(row[j]) * by;
    }
  }
  // p[j] = Σ of the probabilities that student row r meets.
  void met(int64_t r, const S* lse, int64_t first, int64_t count, S* p) const {
    std::fill_n(p, count, S(0));
    S z[chunk];
    for (int64_t i = 0; i < pairs.target_views; ++i) {
      if (!pairs.meet(r / pairs.images, i)) continue;
      const int64_t t = i * pairs.images + r % pairs.images;
      if (probabilities) {
        const S* row = probabilities + t * classes + first;
#pragma omp simd
        for (int64_t j = 0; j < count; ++j) p[j] += row[j];
      } else {
        scaled(t, first, count, z);
        const S shift = lse[t];
#pragma omp simd
        for (int64_t j = 0; j < count; ++j) p[j] += fast_exp(z[j] - shift);
      }
    }
  }
  S entropy_of_probabilities(int64_t t) const {
    const S* row = probabilities + t * classes;
    S sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < classes; ++j) {
      const S p = larger(row[j], std::numeric_limits<S>::min());  // 0 log 0 is 0
      sum += p * fast_log(p);
    }
    return -sum;
  }

  SoftPairs pairs;
  int64_t classes;
  const T* logits;
  const S *probabilities, *centre;
  S inverse;
};

template <class T>
void target_rows(const Targets<T>& of, Accumulator<T>* lse, Accumulator<T>* entropy) {
  using S = Accumulator<T>;
  parallel_ranges(of.pairs.targets(), grain(of.classes), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      if (of.probabilities) {
        lse[t] = 0;
        entropy[t] = of.entropy_of_probabilities(t);
        continue;
      }
      Running<S> running;
      S z[chunk];
      for (int64_t first = 0; first < of.classes; first += chunk) {
        const int64_t count = std::min(chunk, of.classes - first);
        of.scaled(t, first, count, z);
        running.add(z, count);
      }
      lse[t] = running.lse();
      entropy[t] = running.entropy();
    }
  });
}

template <class T>
void student_rows(const SoftCrossEntropy& k, const Targets<T>& of, const Accumulator<T>* entropy,
                  Accumulator<T>* row_loss, Accumulator<T>* row_kl) {
  using S = Accumulator<T>;
  const T* student = k.student.as<T>();
  S *lse = k.lse.as<S>(), *mass = k.mass.as<S>();
  const S *target_lse = k.target_lse.as<S>(), inverse = static_cast<S>(1 / k.temperature);
  parallel_ranges(k.pairs.rows(), grain(k.classes), [&](int64_t begin, int64_t end) {
    S z[chunk], p[chunk];
    for (int64_t r = begin; r < end; ++r) {
      Running<S> running;
      S dot = 0, total = 0;
      for (int64_t first = 0; first < k.classes; first += chunk) {
        const int64_t count = std::min(chunk, k.classes - first);
        const T* row = student + r * k.classes + first;
        const S by = inverse;
#pragma omp simd
        for (int64_t j = 0; j < count; ++j) z[j] = static_cast<S>(row[j]) * by;
        running.add(z, count);
        of.met(r, target_lse, first, count, p);
#pragma omp simd reduction(+ : dot, total)
        for (int64_t j = 0; j < count; ++j) {
          dot += p[j] * z[j];
          total += p[j];
        }
      }
      lse[r] = running.lse();
      mass[r] = total;
      row_loss[r] = row_kl[r] = total * lse[r] - dot;
      for (int64_t i = 0; i < k.pairs.target_views; ++i)
        if (k.pairs.meet(r / k.pairs.images, i)) row_kl[r] -= entropy[i * k.pairs.images + r % k.pairs.images];
    }
  });
}

}  // namespace

void run(const SoftCrossEntropy& k, Stream stream) {
  dispatch_float(k.student.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const int64_t rows = k.pairs.rows(), targets = k.pairs.targets();
    S* row_loss = static_cast<S*>(stream.scratch);
    S *row_kl = row_loss + rows, *entropy = row_kl + rows;
    const Targets<T> of(k.of, k.pairs, k.classes);
    target_rows(of, k.target_lse.as<S>(), entropy);
    student_rows(k, of, entropy, row_loss, row_kl);
    const S* weights = k.weights.as<S>();
    double loss = 0, kl = 0, entropies = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const double weight = weights ? static_cast<double>(weights[r]) : 1 / real(k.pairs.count());
      loss += weight * static_cast<double>(row_loss[r]);
      kl += weight * static_cast<double>(row_kl[r]);
    }
    for (int64_t t = 0; t < targets; ++t) entropies += static_cast<double>(entropy[t]);
    k.loss.as<S>()[0] = static_cast<S>(loss);
    k.kl.as<S>()[0] = static_cast<S>(kl);
    k.entropy.as<S>()[0] = static_cast<S>(entropies / real(targets));
  });
}

void run(const SoftCrossEntropyBackward& k, Stream) {
  dispatch_float(k.student.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const Targets<T> of(k.of, k.pairs, k.classes);
    const T* student = k.student.as<T>();
    T* dstudent = k.dstudent.as<T>();
    const S *weights = k.weights.as<S>(), *lse = k.lse.as<S>(), *mass = k.mass.as<S>();
    const S *target_lse = k.target_lse.as<S>(), inverse = static_cast<S>(1 / k.temperature);
    const double slope = static_cast<double>(k.dloss.as<S>()[0]) / k.temperature;
    parallel_ranges(k.pairs.rows(), grain(k.classes), [&](int64_t begin, int64_t end) {
      S p[chunk];
      for (int64_t r = begin; r < end; ++r) {
        const double weight = weights ? static_cast<double>(weights[r]) : 1 / real(k.pairs.count());
        const S gain = static_cast<S>(slope * weight), shift = lse[r], total = mass[r], by = inverse;
        for (int64_t first = 0; first < k.classes; first += chunk) {
          const int64_t count = std::min(chunk, k.classes - first);
          of.met(r, target_lse, first, count, p);
          const T* row = student + r * k.classes + first;
          T* to = dstudent + r * k.classes + first;
#pragma omp simd
          for (int64_t j = 0; j < count; ++j)
            store(&to[j], gain * (total * fast_exp(static_cast<S>(row[j]) * by - shift) - p[j]));
        }
      }
    });
  });
}

void run(const UpdateCentre& k, Stream) {
  dispatch_float(k.rows.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* rows = k.rows.as<T>();
    S* centre = k.centre.as<S>();
    const S kept = static_cast<S>(k.momentum), fresh = static_cast<S>(1 - k.momentum);
    for_each_strip(k.count, k.classes, [&](int64_t first, int64_t width) {
      S mean[strip];
      strip_means(rows + first, k.count, k.classes, width, mean);
      for (int64_t j = 0; j < width; ++j) centre[first + j] = kept * centre[first + j] + fresh * mean[j];
    });
  });
}

}  // namespace gestalt::kernels::cpu
