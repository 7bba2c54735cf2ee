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
};

}  // namespace gestalt
