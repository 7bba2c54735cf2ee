// Classifying by nearest neighbours: the probe that needs no training.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor/tensor.h"

namespace gestalt {

// One predicted class per row of `queries` (Q, D): the k rows of `bank` (N, D) with the highest cosine similarity s
// vote for their `labels` (N, i32 in [0, classes)) with weight e^(s/temperature) (Wu et al. 2018, section 3.4; DINO
// uses k = 20 and temperature 0.07, SimCLR-style CIFAR probes k = 200 and 0.1). Exact and deterministic: ties go to the
// lowest index, then the lowest class. Rows need no normalisation. Throws Error unless shapes, dtypes, labels and
// options fit.
std::vector<int32_t> knn_predict(const Tensor& queries, const Tensor& bank, const Tensor& labels, int64_t k,
                                 double temperature, int64_t classes);

// (Q) i32: for each row of `queries` (Q, D) the row of `bank` (N, D) with the highest cosine similarity, the lowest of
// equal ones. Neither gets a gradient; the result stays where they are, so that a captured step may hold it.
Tensor nearest_rows(const Tensor& queries, const Tensor& bank);

}  // namespace gestalt
