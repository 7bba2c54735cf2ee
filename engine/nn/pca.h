// Whitening: rows as coordinates along their principal directions, each of variance 1.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

// rows (N, D), of any float dtype and on any device → (N, columns) f32 on the host: the rows less their mean, along
// their `columns` directions of largest variance, each divided by its deviation (PCA whitening). A direction with less
// than a 10⁻¹⁰ of the largest variance gives 0. The sign of a direction is that which makes its largest number
// positive. Throws Error for more columns than min(N, D), and for rows that are not finite.
Tensor pca_whiten(const Tensor& rows, int64_t columns);

}  // namespace gestalt
