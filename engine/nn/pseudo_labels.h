// Pseudo-labels: the clusters that a data set's samples are in, found anew from time to time.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/nn/k_means.h"
#include "engine/nn/module.h"

namespace gestalt {

// One or more clusterings of all samples, with what there is to say of them. All of it is state: a checkpoint holds it,
// and steps, captured ones too, read it where it stays.
class PseudoLabels : public Module {
 public:
  PseudoLabels() = default;
  PseudoLabels(int64_t clusterings, int64_t samples);  // all samples in cluster 0

  // Takes the clusters as labels, one entry a clustering. Figures are means over the clusterings; `classes` (samples),
  // which may be empty, are for them alone.
  void renew(const std::vector<Clusters>& found, std::span<const int32_t> classes);
  // (repeats · N) i32: the labels of samples, i32 (N), over and over.
  Tensor of(int64_t clustering, const Tensor& samples, int64_t repeats = 1) const;
  // (samples) f32 on the host: (1 / size of a sample's cluster)^power in a clustering, scaled to a mean of 1. With
  // power 1 clusters weigh alike.
  Tensor balance(int64_t clustering, double power) const;
  // nmi_before: mutual information with the labels before these, 0 at first; nmi_classes: with the classes, where
  // `classes` says that there are some; empty_clusters: the share that holds no sample. Each a (1) tensor.
  std::vector<std::pair<std::string, Tensor>> figures(bool classes) const;
  void visit(Visitor& v) override;

 private:
  Tensor labels_;   // i32 (clusterings, samples)
  Tensor figures_;  // (3)
};

// Throws Error, as the method, with the cure, unless there are 15 images or more a cluster. Of 0 images nothing is
// known.
void check_clusters(const char* method, int64_t clusters, int64_t images);

}  // namespace gestalt
