// Contrast against many negatives: info-NCE with a queue, and SimCLR's loss with its negatives counted in other ways.
#pragma once

#include "engine/tensor/tensor.h"

namespace gestalt {

struct ContrastLoss {
  Tensor loss;
  Tensor accuracy;  // without history: the share of rows whose positive is nearer than all negatives
};

// Both ops: rows are brought to unit length inside; results are (1) tensors in the accumulator's dtype; memory grows
// with the rows, never with a matrix of similarities; a row of zeros gets no gradient. They throw Error where shapes
// and dtypes do not fit, where nothing is left to be told from, and for temperatures at which f32 has no room for
// exponentials: below 0.0137, and with hard negatives below (1 + β) / 40.

struct InfoNceOptions {
  double temperature = 0.1;
  Tensor negatives = {};        // (K, D), the accumulator's dtype, without gradient: a queue
  bool batch_negatives = true;  // the keys of other rows are negatives too
};

// mean over the rows of −log(e^(q_i·k_i/τ) / Σ e^(q_i·v/τ)), v from k_i and the negatives, for q and k of (B, D) (van
// den Oord et al. 2018). MoCo's loss (He et al. 2020, equation 1) has a queue and no batch negatives. q and k get
// gradients unless detached.
ContrastLoss info_nce(const Tensor& q, const Tensor& k, const InfoNceOptions& options);

struct PairContrastOptions {
  double temperature = 0.5;
  bool decoupled = false;         // the positive is not among what a row is told from (DCL, Yeh et al. 2022)
  double weight_temperature = 0;  // above 0: positives that are near already weigh less (DCLW's σ)
  double beta = 0, tau_plus = 0;  // hard negatives weigh more; share of negatives that are of the row's own class
  Tensor labels = {};             // (B) i32: all rows of one label are positives of each other (SupCon)
};

// mean over the rows of z (2B, D), where rows i and i + B are two views of one image: NT-Xent in the forms that
// PairContrastOptions tells. Hard and debiased negatives: Robinson et al. 2021 with β and τ⁺, whose gradient goes
// through the weights; β = τ⁺ = 0 is NT-Xent. Labels: Khosla et al. 2020, equation 2; a row without another of its
// label counts 0. One form at a time.
ContrastLoss pair_contrast(const Tensor& z, const PairContrastOptions& options);

// (1), without history: of the first images of z (2B, D), at most `images` of them, the share whose first view is
// nearer to its own second view than to those of all other images. The first 64 cost what is to a loss over 2B rows as
// 16 to B.
Tensor view_accuracy(const Tensor& z, int64_t images = 64);

}  // namespace gestalt
