// The weighted nearest-neighbour classifier: how good features are, without training anything.
#pragma once

#include <string>

#include "tasks/evaluation/features.h"

namespace gestalt {

struct KnnOptions {
  int64_t k = 200;
  double temperature = 0.1;
  void fields(Fields& f);
  KnnOptions of_bank(int64_t images) const;  // as they are used: no more neighbours vote than there are
  std::string protocol() const;
};
// Accuracy in percent of weighted cosine kNN (Wu et al. 2018, section 3.4): votes weigh exp(similarity / temperature).
double knn_accuracy(const Features& train, const Features& test, int64_t classes, const KnnOptions& options);

}  // namespace gestalt
