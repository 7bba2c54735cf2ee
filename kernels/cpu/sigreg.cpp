// Random directions and the statistic of Epps and Pulley on the CPU.
//
// An element's sine and cosine are evaluated once; those of its multiples follow by turning (cos kθ, sin kθ) by θ. The
// recurrence of Chebyshev is as long, but where θ is small its error grows with k², which f32 has no room for.
#include "kernels/sigreg.h"

#include <cmath>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/write.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t width_most = 32;     // slices that are looked at together
constexpr int64_t rows_together = 64;  // rows whose sums are held in the accumulator before they are joined in f64

int64_t strips_of(int64_t slices) { return (slices + width_most - 1) / width_most; }

template <class S>
struct NodeSums {
  alignas(64) S cosine[slice_nodes][width_most] = {}, sine[slice_nodes][width_most] = {};
};

// Adds a row's or two rows' cos(kθ) and sin(kθ) for all k; `second` may be `first`, which then counts once.
template <bool two, class T, class S>
void add_rows(const T* first, const T* second, int64_t width, NodeSums<S>& sums) {
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) {
    const auto a = fast_sincos(static_cast<S>(slice_step) * static_cast<S>(first[j]));
    const auto b = fast_sincos(static_cast<S>(slice_step) * static_cast<S>(second[j]));
    S ac = a.cosine, as = a.sine, bc = b.cosine, bs = b.sine;
#pragma GCC unroll 16
    for (int k = 0; k < slice_nodes; ++k) {
      sums.cosine[k][j] += two ? ac + bc : ac;
      sums.sine[k][j] += two ? as + bs : as;
      const S turned_a = ac * a.cosine - as * a.sine, turned_b = bc * b.cosine - bs * b.sine;
      as = as * a.cosine + ac * a.sine;
      bs = bs * b.cosine + bc * b.sine;
      ac = turned_a;
      bc = turned_b;
    }
  }
}

// Sums over the rows of one view, for a strip of slices.
template <class T, class S>
NodeSums<double> sum_view(const T* p, int64_t rows, int64_t stride, int64_t width, NodeSums<S>& part) {
  NodeSums<double> all;
  for (int64_t begin = 0; begin < rows; begin += rows_together) {
    const int64_t end = std::min(rows, begin + rows_together);
    part = {};
    int64_t i = begin;
    for (; i + 1 < end; i += 2) add_rows<true>(p + i * stride, p + (i + 1) * stride, width, part);
    if (i < end) add_rows<false>(p + i * stride, p + i * stride, width, part);
    for (int k = 0; k < slice_nodes; ++k)
      for (int64_t j = 0; j < width; ++j) {
        all.cosine[k][j] += static_cast<double>(part.cosine[k][j]);
        all.sine[k][j] += static_cast<double>(part.sine[k][j]);
      }
  }
  return all;
}

// results[j] = factor · Σ_k slopes_k cos(kθ) − slopes_{16 + k} sin(kθ): the real part of a polynomial in e^{iθ}, by
// Horner's rule. `slopes` is of one view and strip.
template <class T, class S>
void slope_row(const T* p, const S (&slopes)[2 * slice_nodes][width_most], int64_t width, S factor, S* results) {
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) {
    const auto turn = fast_sincos(static_cast<S>(slice_step) * static_cast<S>(p[j]));
    S real = 0, imaginary = 0;
#pragma GCC unroll 16
    for (int k = slice_nodes - 1; k >= 0; --k) {
      real += slopes[k][j];
      imaginary += slopes[slice_nodes + k][j];
      const S turned = real * turn.cosine - imaginary * turn.sine;
      imaginary = imaginary * turn.cosine + real * turn.sine;
      real = turned;
    }
    results[j] = factor * real;
  }
}

}  // namespace

void run(const RandomSlices& k, Stream) {
  const uint64_t step = k.step.now();
  float* y = k.y.as<float>();
  parallel_ranges(k.slices, 1, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      float* row = y + m * k.dim;
      double squares = 0;
      for (int64_t d = 0; d < k.dim; d += 2) {
        const NormalPair pair =
            normal_pair(k.seed, Use::slice, step, static_cast<uint32_t>(m), static_cast<uint32_t>(d / 2));
        row[d] = pair.first;
        squares += static_cast<double>(pair.first) * static_cast<double>(pair.first);
        if (d + 1 == k.dim) break;
        row[d + 1] = pair.second;
        squares += static_cast<double>(pair.second) * static_cast<double>(pair.second);
      }
      const auto inverse = static_cast<float>(1 / std::sqrt(squares));
      for (int64_t d = 0; d < k.dim; ++d) row[d] *= inverse;
    }
  });
}

void run(const EppsPulley& k, Stream stream) {
  dispatch_float(k.p.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* p = k.p.as<T>();
    S* slopes = k.slopes.as<S>();
    auto* statistics = static_cast<double*>(stream.scratch);
    const SliceNodes<double> nodes;
    const double share = 1 / real(k.views * k.slices);
    const int64_t strips = strips_of(k.slices);
    parallel_ranges(k.views * strips, 1, [&](int64_t begin, int64_t end) {
      NodeSums<S> part;
      for (int64_t s = begin; s < end; ++s) {
        const int64_t view = s / strips, first = s % strips * width_most,
                      width = std::min(width_most, k.slices - first);
        const NodeSums<double> sums = sum_view(p + view * k.rows * k.slices + first, k.rows, k.slices, width, part);
        S* to = slopes + view * 2 * slice_nodes * k.slices + first;
        for (int64_t j = 0; j < width; ++j) {
          double total = 0;
          for (int n = 0; n < slice_nodes; ++n) {
            const double cosine = sums.cosine[n][j] / real(k.rows) - nodes.target[n];
            const double sine = sums.sine[n][j] / real(k.rows), factor = slice_factor(nodes, n, share);
            total += nodes.weight[n] * (cosine * cosine + sine * sine);
            to[n * k.slices + j] = static_cast<S>(factor * sine);
            to[(slice_nodes + n) * k.slices + j] = static_cast<S>(factor * cosine);
          }
          statistics[view * k.slices + first + j] = real(k.rows) * total;
        }
      }
    });
    double sum = 0;
    for (int64_t i = 0; i < k.views * k.slices; ++i) sum += statistics[i];
    k.loss.as<S>()[0] = static_cast<S>(share * sum);
  });
}

void run(const EppsPulleyBackward& k, Stream) {
  dispatch_float(k.p.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* p = k.p.as<T>();
    T* dp = k.dp.as<T>();
    const S factor = k.dloss.as<S>()[0];
    const int64_t strips = strips_of(k.slices);
    parallel_ranges(k.views * strips, 1, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) {
        const int64_t view = s / strips, first = s % strips * width_most,
                      width = std::min(width_most, k.slices - first);
        const S* from = k.slopes.as<S>() + view * 2 * slice_nodes * k.slices + first;
        alignas(64) S slopes[2 * slice_nodes][width_most];  // closer together than there, for the sake of the cache
        for (int n = 0; n < 2 * slice_nodes; ++n) std::copy_n(from + n * k.slices, width, slopes[n]);
        for (int64_t i = view * k.rows; i < (view + 1) * k.rows; ++i) {
          const int64_t at = i * k.slices + first;
          if constexpr (std::is_same_v<T, BFloat16>) {
            S results[width_most];
            slope_row(p + at, slopes, width, factor, results);
            round_range(results, width, dp + at);
          } else {
            slope_row(p + at, slopes, width, factor, dp + at);
          }
        }
      }
    });
  });
}

}  // namespace gestalt::kernels::cpu
