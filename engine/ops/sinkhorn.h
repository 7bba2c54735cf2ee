// Assignments that share out the classes evenly: the targets of SwAV, and of DINOv2's teacher.
#pragma once

#include "engine/tensor/tensor.h"
#include "kernels/varying.h"

namespace gestalt {

struct SinkhornOptions {
  double epsilon = 0.05;                     // the smaller, the nearer to one class a row
  int64_t rounds = 3;                        // 0: the softmax of scores / epsilon, which shares nothing out
  Tensor extra = {};                         // (E, K), accumulator's dtype: scores that take part and get no row
  kernels::Varying<double> use_extra = 1.0;  // 0: they take no part in this step
};

struct Assignment {
  Tensor rows;  // (R, K), rows sum to 1
  // (1): the entropy of the rows' mean, at most ln K; the share of classes that have at least half of 1/K in that mean.
  Tensor mean_entropy, used;
};

// scores (R, K) → the rows that `rounds` rounds of Sinkhorn's algorithm make of exp([extra; scores] / epsilon), columns
// first (Cuturi 2013; Caron et al. 2020, equation 3 and algorithm 1). Results are of the accumulator's dtype and have
// no history: they are targets. Works inside a captured graph. Throws Error where shapes, dtypes or options do not fit.
Assignment sinkhorn(const Tensor& scores, const SinkhornOptions& options = {});

}  // namespace gestalt
