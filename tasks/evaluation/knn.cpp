// Weighted kNN on features.
#include "tasks/evaluation/knn.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/ops/knn.h"

namespace gestalt {

void KnnOptions::fields(Fields& f) {
  f("knn-k", k, "neighbours that vote");
  f("knn-temperature", temperature, "votes weigh exp(cosine / temperature)");
}

std::string KnnOptions::protocol() const {
  return fmt::format("weighted kNN, cosine, k = {}, temperature {}, exact, centre view", k, temperature);
}

double knn_accuracy(const Features& train, const Features& test, int64_t classes, const KnnOptions& options) {
  check(!train.labels.empty() && !test.labels.empty(), "[knn] got images without labels; kNN needs them");
  check(options.k >= 1 && options.temperature > 0,
        "[knn] got --knn-k {} and --knn-temperature {}, expected 1 or more and above 0", options.k,
        options.temperature);
  const int64_t k = std::min(options.k, train.features.dim(0));
  const Tensor labels = Tensor::from(train.labels, {train.features.dim(0)});
  return percent_right(knn_predict(test.features, train.features, labels, k, options.temperature, classes),
                       test.labels);
}

}  // namespace gestalt
