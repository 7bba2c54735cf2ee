// Sinkhorn's algorithm: rows of scores become probabilities that share out the classes evenly.
#pragma once

#include "kernels/launch.h"
#include "kernels/varying.h"

namespace gestalt::kernels {

// How rows are walked over: in chunks whose sums over rows are joined at the end, so that they depend on the sizes
// only. Extra rows come first; no chunk has rows of both kinds.
struct SinkhornRows {
  static constexpr int chunk = 16;
  int64_t extra, rows;

  GESTALT_HOST_DEVICE int64_t extra_chunks() const { return (extra + chunk - 1) / chunk; }
  GESTALT_HOST_DEVICE int64_t chunks() const { return extra_chunks() + (rows + chunk - 1) / chunk; }
  GESTALT_HOST_DEVICE int64_t begin(int64_t c) const {
    return c < extra_chunks() ? c * chunk : extra + (c - extra_chunks()) * chunk;
  }
  GESTALT_HOST_DEVICE int64_t end(int64_t c) const {
    const int64_t most = c < extra_chunks() ? extra : extra + rows, full = begin(c) + chunk;
    return full < most ? full : most;
  }
  // The first chunk that takes part.
  GESTALT_HOST_DEVICE int64_t first(double use_extra) const { return use_extra != 0 ? 0 : extra_chunks(); }
  // Rows that take part to a class.
  GESTALT_HOST_DEVICE double share(double use_extra, int64_t classes) const {
    return static_cast<double>(use_extra != 0 ? extra + rows : rows) / static_cast<double>(classes);
  }
};

// With e = exp(scores / epsilon) of all rows, extra ones included, and v_b = 1, each round sets u_k = B/K / Σ_b e_bk
// v_b and v_b = 1 / Σ_k e_bk u_k; then assignment_bk = e_bk u_k v_b (Cuturi 2013; Caron et al. 2020, equation 3, whose
// divisions by the numbers of rows B and classes K come to that factor). Without a round it is the softmax of scores /
// epsilon. A sum counts as 1e-30 or more, so that results are finite.
struct Sinkhorn {
  In extra;                   // (extra_rows, classes), the accumulator's dtype, or absent: they get no assignment
  In scores;                  // (rows, classes)
  Varying<double> use_extra;  // 0: extra rows take no part
  Out assignment;             // (rows, classes), the accumulator's dtype, as are the other results; rows sum to 1
  Out mean_entropy;           // (1): entropy of the mean of the assigned rows
  Out used;                   // (1): share of the classes that have at least half of the even share in that mean
  int64_t extra_rows, rows, classes;
  double epsilon;
  int64_t rounds;

  SinkhornRows walk() const { return {extra_rows, rows}; }
};
GESTALT_KERNEL(Sinkhorn)
inline Cost cost(const Sinkhorn& k) {
  const double all = traffic(k.extra_rows * k.classes, k.extra) + traffic(k.rows * k.classes, k.scores);
  return {.bytes = real(k.rounds) * all + traffic(k.rows * k.classes, k.scores, k.assignment), .loss = true};
}

// Working memory; S is the accumulator.
template <class S>
struct SinkhornScratch {
  S* tops;     // (chunks): the largest exponent of each
  S* shifts;   // (all rows): that of each row
  S* gain;     // (classes): u; at the end the mean of the assigned rows
  S* partial;  // (chunks, classes): sums over the rows of a chunk

  SinkhornScratch(Scratch& memory, const Sinkhorn& k)
      : tops(memory.take<S>(k.walk().chunks())),
        shifts(memory.take<S>(k.extra_rows + k.rows)),
        gain(memory.take<S>(k.classes)),
        partial(memory.take<S>(k.walk().chunks() * k.classes)) {}
};
inline int64_t scratch_bytes(const Sinkhorn& k, Device) {
  return k.scores.dtype == DType::f64 ? bytes_of<SinkhornScratch<double>>(k) : bytes_of<SinkhornScratch<float>>(k);
}

constexpr double sinkhorn_least = 1e-30;

}  // namespace gestalt::kernels
