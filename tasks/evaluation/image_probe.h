// The probe of methods on images: weighted kNN on the encoder's features.
#pragma once

#include "tasks/evaluation/knn.h"

namespace gestalt {

class ImageProbe : public Probe {
 public:
  KnnOptions knn;

  void fields(Fields& f) override { knn.fields(f); }
  Outlook outlook(Method& method) override;
  std::vector<Metric> measure(Method& method) override;
  std::vector<std::string> columns() const override { return {"knn_percent"}; }
  bool is_loss() const override { return false; }
};

}  // namespace gestalt
