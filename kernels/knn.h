// The weighted nearest-neighbour classifier that scores an encoder without training anything.
#pragma once

#include <algorithm>

#include "kernels/launch.h"

namespace gestalt::kernels {

// For each query, the k rows of the bank with the highest cosine similarity s vote for their labels with e^(s/τ)
// (Wu et al. 2018, section 3.4); the class with the most weight wins. Exact. Rows may have any length: both sides are
// normalised, a row of zeros having similarity 0. Of equal similarities the lowest index, of equal votes the lowest
// class.
struct Knn {
  In queries;       // (query_count, dim)
  In bank;          // (bank_count, dim), dtype of the queries
  In labels;        // (bank_count) i32 in [0, classes); others do not vote; absent: each row has its own index
  Out predictions;  // (query_count) i32
  int64_t query_count, bank_count, dim;
  int64_t k;  // 1 or more; with fewer rows in the bank, all vote
  double temperature;
  int64_t classes;
};
GESTALT_KERNEL(Knn)
inline Cost cost(const Knn& k) {
  return {.flops = 2 * real(k.query_count) * real(k.bank_count) * real(k.dim),
          .bytes = traffic(k.query_count * k.dim, k.queries) + traffic(k.bank_count * k.dim, k.bank) +
                   (k.labels ? traffic(k.bank_count, k.labels) : 0) + traffic(k.query_count, k.predictions),
          .shape = fmt::format("{} of {}, {} wide", k.query_count, k.bank_count, k.dim)};
}

// Working memory of the CUDA form.
struct KnnScratch {
  int64_t chunk;                  // queries whose similarities are held at a time: up to 128 MiB of them, or 64
  int64_t neighbours;             // that vote
  float *inv_queries, *inv_bank;  // inverse norms of the rows
  float *similarities, *chosen;   // (chunk, bank_count); (chunk, 2, neighbours), weights and labels

  KnnScratch(Scratch& memory, const Knn& k)
      : chunk(std::min(k.query_count, std::max<int64_t>(64, (int64_t{1} << 25) / k.bank_count / 64 * 64))),
        neighbours(std::min(k.k, k.bank_count)),
        inv_queries(memory.take<float>(k.query_count)),
        inv_bank(memory.take<float>(k.bank_count)),
        similarities(memory.take<float>(chunk * k.bank_count)),
        chosen(memory.take<float>(chunk * 2 * neighbours)) {}
};
inline int64_t scratch_bytes(const Knn& k, Device device) {
  return device == Device::cuda ? bytes_of<KnnScratch>(k) : 0;
}

}  // namespace gestalt::kernels
