// Weighted kNN on features.
#include "tasks/evaluation/knn.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/ops/knn.h"

namespace gestalt {

void KnnOptions::fields(Fields& f) {
  f("knn-k", k, "neighbours that vote", between(1, 1e9));
  f("knn-temperature", temperature, "votes weigh exp(cosine / temperature)", above(0));
}

KnnOptions KnnOptions::of_bank(int64_t images) const { return {std::min(k, images), temperature}; }

std::string KnnOptions::protocol() const {
  return fmt::format("weighted kNN, cosine, k = {}, temperature {}, exact, centre view", k, temperature);
}

double knn_accuracy(const Features& train, const Features& test, int64_t classes, const KnnOptions& options) {
  check(!train.labels.empty() && !test.labels.empty(), "[knn] got images without labels; kNN needs them");
  check_fields(KnnOptions(options));
  check_finite_features(train.features, "the features of the training images");
  check_finite_features(test.features, "the features of the test images");
  const int64_t k = options.of_bank(train.features.dim(0)).k;
  const Tensor labels = Tensor::from(train.labels, {train.features.dim(0)});
  return percent_right(knn_predict(test.features, train.features, labels, k, options.temperature, classes),
                       test.labels);
}

}  // namespace gestalt
