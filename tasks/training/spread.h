// The collapse meter: how much of its space a set of features uses.
#pragma once

#include <span>
#include <vector>

#include "engine/tensor/tensor.h"

namespace gestalt {

// Both fall when an encoder collapses: std to 0 when all images get one direction, effective_rank to 1 when all lie on
// one line (and to a small part of min(N, D) in dimensional collapse).
struct Spread {
  // Standard deviation of the unit-length features, mean over dimensions, times √D: 1 for directions spread evenly.
  double std = 0;
  // e^H of the singular values' shares of their sum, H being the entropy (Roy & Vetterli 2007; RankMe, Garrido et al.
  // 2023): the number of directions in use, 1 to min(N, D).
  double effective_rank = 0;
};

// Of features (N, D), each row one image's; on any device, any float dtype. Means and sums are in f64. For the rank, no
// more than `rank_rows` rows, evenly spaced, are looked at: the cost is cubic in min(rank_rows, N, D).
// Features that are not finite give NaN. Throws Error unless features are (N, D) with N, D of 1 or more.
Spread spread(const Tensor& features, int64_t rank_rows = 1024);

}  // namespace gestalt
