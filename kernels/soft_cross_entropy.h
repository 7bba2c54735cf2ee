// Cross-entropy of student logits against the softmax of a teacher's, or against given probabilities; DINO's centre.
#pragma once

#include "kernels/launch.h"
#include "kernels/varying.h"

namespace gestalt::kernels {

// Which student rows meet which target rows. Both lie view after view, `images` rows each; rows of one image meet.
struct SoftPairs {
  int64_t images, student_views, target_views;
  bool same_view;  // also where the views have one number; without, as in DINO, only where they differ

  GESTALT_HOST_DEVICE int64_t rows() const { return images * student_views; }
  GESTALT_HOST_DEVICE int64_t targets() const { return images * target_views; }
  int64_t count() const {
    const int64_t same = student_views < target_views ? student_views : target_views;
    return images * (student_views * target_views - (same_view ? 0 : same));
  }
  // Whether a student row of view v meets target view i.
  GESTALT_HOST_DEVICE bool meet(int64_t v, int64_t i) const { return same_view || v != i; }
};

// p = softmax((rows − centre) / temperature), or the rows themselves.
struct SoftTargets {
  In rows;    // (targets, classes): logits of the student's dtype, or probabilities in the accumulator's
  In centre;  // (classes) in the accumulator's dtype, or absent
  Varying<double> temperature;
  bool probabilities;
};

// loss = Σ_r weight_r Σ_{i met by r} −Σ_k p_ik · log softmax(student_r / temperature)_k. A weight that is absent is
// 1 / pairs.count(). All results are of the accumulator's dtype.
struct SoftCrossEntropy {
  In student;  // (rows, classes) logits
  SoftTargets of;
  In weights;       // (rows), the accumulator's dtype, or absent
  Out lse;          // (rows), the log of the sum of exponentials of student / temperature
  Out mass;         // (rows), the sum of the probabilities that a row meets
  Out target_lse;   // (targets), likewise; 0 for probabilities
  Out loss;         // (1)
  Out entropy, kl;  // (1): mean entropy of the targets; loss minus the entropies that it holds
  SoftPairs pairs;
  int64_t classes;
  double temperature;
};
GESTALT_KERNEL(SoftCrossEntropy)
inline Cost cost(const SoftCrossEntropy& k) {
  return {.bytes = traffic(k.pairs.rows() * k.classes, k.student) +
                   (k.of.probabilities ? 1 : 2) * traffic(k.pairs.targets() * k.classes, k.of.rows),
          .loss = true};
}
// Each row's loss and its part of kl, then each target's entropy.
inline int64_t scratch_bytes(const SoftCrossEntropy& k, Device) {
  return (2 * k.pairs.rows() + k.pairs.targets()) * size_of(k.loss.dtype);
}

// dstudent_r = dloss · weight_r / temperature · (mass_r · softmax(student_r / temperature) − Σ p_i). dstudent may be
// student.
struct SoftCrossEntropyBackward {
  In student;
  SoftTargets of;
  In weights, lse, mass, target_lse, dloss;
  Out dstudent;
  SoftPairs pairs;
  int64_t classes;
  double temperature;
};
GESTALT_KERNEL(SoftCrossEntropyBackward)
inline Cost cost(const SoftCrossEntropyBackward& k) {
  return {.bytes = traffic(k.pairs.rows() * k.classes, k.student, k.dstudent) +
                   traffic(k.pairs.targets() * k.classes, k.of.rows),
          .loss = true};
}

// centre ← momentum · centre + (1 − momentum) · mean of the rows, in place; Caron et al. 2021, equation 4.
struct UpdateCentre {
  In rows;     // (count, classes)
  Out centre;  // (classes), the accumulator's dtype: read and written
  int64_t count, classes;
  double momentum;
};
GESTALT_KERNEL(UpdateCentre)
inline Cost cost(const UpdateCentre& k) { return {.bytes = traffic(k.count * k.classes, k.rows)}; }

}  // namespace gestalt::kernels
