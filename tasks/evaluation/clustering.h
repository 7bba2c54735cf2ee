// Clusters of a set's features: what k-means finds, how well that agrees with the labels, and pictures of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/data/images/picture.h"
#include "engine/nn/k_means.h"
#include "tasks/evaluation/features.h"

namespace gestalt {

struct ClusteringOptions {
  int64_t clusters = 10, restarts = 1, iterations = 300, seed = 1;
  bool spherical = false;
  void fields(Fields& f);
  std::string protocol() const;
};

// With the labels; fractions but for the accuracy, which is in percent.
struct ClusterAgreement {
  double nmi = 0, ari = 0, accuracy = 0;
};

struct Clustering {
  Clusters clusters;
  std::vector<int64_t> sizes;                 // images of each cluster
  std::optional<ClusterAgreement> agreement;  // where the images have labels
};
Clustering cluster_features(const Features& features, const ClusteringOptions& options);

// A line for each cluster (size, mean distance to the centre, the class that most of it are), of more than 50 clusters
// the spread of their sizes, then what was measured.
std::string clustering_text(const Clustering& clustering, const Features& features, const ImageSet& set);
// "file,cluster,distance", and "class" where the images have labels: a line an image.
std::string clustering_csv(const Clustering& clustering, const Features& features, const ImageSet& set);
// A row a cluster, of the largest 50 at most: the images nearest to its centre, nearest first, as squares of `size`.
Picture clustering_sheet(const Clustering& clustering, const std::shared_ptr<ImageSet>& set, int64_t columns,
                         int64_t size);

}  // namespace gestalt
