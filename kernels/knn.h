// The weighted nearest-neighbour classifier that scores an encoder without training anything.
#pragma once

#include <algorithm>

#include "kernels/launch.h"

namespace gestalt::kernels {

// Queries whose similarities to the whole bank the CUDA form holds at a time: up to 128 MiB of them, or 64 queries.
inline int64_t knn_query_chunk(int64_t query_count, int64_t bank_count) {
  return std::min(query_count, std::max<int64_t>(64, (int64_t{1} << 25) / bank_count / 64 * 64));
}

// Floats that the CUDA form needs as scratch; the CPU form needs none.
inline int64_t knn_scratch(int64_t query_count, int64_t bank_count, int64_t k) {
  return query_count + bank_count +
         knn_query_chunk(query_count, bank_count) * (bank_count + 2 * std::min(k, bank_count));
}

// For each query, the k rows of the bank with the highest cosine similarity s vote for their labels with e^(s/τ)
// (Wu et al. 2018, section 3.4); the class with the most weight wins. Exact. Rows may have any length: both sides are
// normalised, a row of zeros having similarity 0. Of equal similarities the lowest index, of equal votes the lowest
// class.
struct Knn {
  In queries;       // (query_count, dim)
  In bank;          // (bank_count, dim), dtype of the queries
  In labels;        // (bank_count) i32 in [0, classes); others do not vote
  Out predictions;  // (query_count) i32
  int64_t query_count, bank_count, dim;
  int64_t k;  // 1 or more; with fewer rows in the bank, all vote
  double temperature;
  int64_t classes;
  Out scratch;  // (knn_scratch) f32; absent on the CPU
};
GESTALT_KERNEL(Knn)
inline Cost cost(const Knn& k) {
  return {.flops = 2 * real(k.query_count) * real(k.bank_count) * real(k.dim),
          .bytes = traffic(k.query_count * k.dim, k.queries) + traffic(k.bank_count * k.dim, k.bank) +
                   traffic(k.bank_count, k.labels) + traffic(k.query_count, k.predictions),
          .shape = fmt::format("{} of {}, {} wide", k.query_count, k.bank_count, k.dim)};
}

}  // namespace gestalt::kernels
