// Cross-entropy against soft targets between views: DINO's loss, and what SwAV, iBOT and distillation need.
#pragma once

#include "engine/tensor/tensor.h"
#include "kernels/varying.h"

namespace gestalt {

struct SoftCrossEntropyOptions {
  double temperature = 0.1;                            // the student's
  kernels::Varying<double> target_temperature = 0.04;  // ignored with `probabilities`
  Tensor centre = {};                                  // (K), subtracted from target logits; accumulator's dtype
  Tensor weights = {};                                 // (R), accumulator's dtype; without, 1 / number of pairs
  bool probabilities = false;                          // targets are probabilities in the accumulator's dtype
  bool same_view = false;                              // pair target view i with student view i too
};

struct SoftCrossEntropyLoss {
  Tensor loss;
  // Without history: mean entropy of the targets, and the loss less the entropies in it, which is the mean divergence
  // KL(target ‖ student).
  Tensor target_entropy, kl;
};

// student (R, K), targets (T, K), both view after view with `images` rows each → Σ_r weight_r Σ_i
// −Σ_k p_ik · log softmax(student_r / temperature)_k, over the target views i of r's image that are not r's own view;
// p = softmax((targets − centre) / target_temperature). With the first two views of the student those of the teacher,
// that is the loss of DINO (Caron et al. 2021, equation 3): all pairs weigh alike. All results are (1) tensors in the
// accumulator's dtype. Only the student gets a gradient; backward writes it over the logits when nobody but the graph
// holds them. The centre may move before backward. Throws Error where shapes, dtypes or temperatures do not fit.
SoftCrossEntropyLoss soft_cross_entropy(const Tensor& student, const Tensor& targets, int64_t images,
                                        const SoftCrossEntropyOptions& options = {});

// centre (K) ← momentum · centre + (1 − momentum) · mean over the rows of logits (T, K), in place and without history.
// The logits are the teacher's as they are: neither centred nor scaled. Works inside a captured graph.
void update_centre(Tensor& centre, const Tensor& logits, double momentum = 0.9);

}  // namespace gestalt
