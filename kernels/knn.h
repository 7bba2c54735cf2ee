// The weighted nearest-neighbour classifier that scores an encoder without training anything.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

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
};
GESTALT_KERNEL(Knn)

}  // namespace gestalt::kernels
