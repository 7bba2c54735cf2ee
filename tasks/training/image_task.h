// ImageTask: what methods on images share: the data, the views, the encoder and the kNN probe.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "engine/data/images/augment.h"
#include "engine/data/images/image_set.h"
#include "models/encoder.h"
#include "tasks/evaluation/evaluate.h"
#include "tasks/training/task.h"

namespace gestalt {

class ImageTask : public Task {
 public:
  int64_t image_size = 0;  // of the views; 0: the data's own
  AugmentOptions augment;
  EncoderOptions model;
  KnnOptions knn;

  void fields(Fields& f) override;
  std::unique_ptr<Feed> open() override;
  void build(Random& random) final;
  std::vector<Metric> probe() override;
  std::string export_to(const std::string& folder) override;
  void visit(Visitor& v) override;

  // Trains this encoder instead of the one that `model` names. Call it before build(). On cuda its passes are captured
  // in a graph (see Task::replayable): if they differ from step to step, set run.graph to false.
  void use_encoder(std::unique_ptr<Encoder> encoder) {
    encoder_ = std::move(encoder);
    model.model = "custom";
  }
  Encoder& encoder() { return *encoder_; }
  ViewOptions view_options() const;
  const std::shared_ptr<ImageSet>& images() const { return images_; }
  bool labelled() const { return test_ != nullptr; }
  const std::shared_ptr<ImageSet>& bank() const { return bank_; }
  const std::shared_ptr<ImageSet>& test() const { return test_; }

 protected:
  // One entry a view: how it is augmented. Two alike, unless overridden.
  virtual std::vector<kernels::AugmentParameters> views() const;
  // The two views (B, S, S, 3) that make up a batch, for methods that pass them one by one.
  static std::array<Tensor, 2> two_views(const Inputs& inputs);
  virtual DType view_dtype() const { return run.resolved_dtype(); }
  virtual void build_heads(Random& random) = 0;

  std::unique_ptr<Encoder> encoder_;

 private:
  // What is learned from, and the labelled splits that probes use (null where there are no labels).
  std::shared_ptr<ImageSet> images_, bank_, test_;
};

}  // namespace gestalt
