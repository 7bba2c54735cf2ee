// Which images of a set are alike by their features: the nearest of each, and a few that stand for all.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor/tensor.h"

namespace gestalt {

// The k nearest of each row by cosine, nearest first, of equal ones the lowest index first; a row is not its own.
struct Neighbours {
  int64_t k = 0;               // fewer than asked for where there are no more
  std::vector<int32_t> index;  // (N, k)
  std::vector<float> cosine;   // (N, k)

  double distance(int64_t row) const;  // the mean of 1 − cosine
};
// Exact, by blocks of similarities: never all of N × N. `rows` (N, D) f32, N ≥ 2.
Neighbours nearest_neighbours(const Tensor& rows, int64_t k, int threads = 0);

struct Chosen {
  std::vector<int32_t> rows;      // in the order of being chosen
  std::vector<double> distances;  // 1 − the cosine to the nearest one that was chosen before; of the first 2
};
// Farthest-first traversal, the greedy k-centre of Gonzalez (1985), from row `first`, among the rows that are
// `eligible`: no row is farther from a chosen one than twice what the best choice of as many could give. The first n of
// any choice are the choice of n.
Chosen choose_diverse(const Tensor& rows, int64_t count, int64_t first, const std::vector<bool>& eligible);

}  // namespace gestalt
