// ViewFeed: batches of a set of images, turned into views on the device by the augment kernel.
#pragma once

#include "engine/data/feed.h"
#include "engine/data/images/loader.h"
#include "engine/tensor/upload.h"

namespace gestalt {

class ViewFeed : public Feed {
 public:
  // Throws Error for a batch larger than the set, and for labels that are wanted
  // of an unlabelled one.
  ViewFeed(std::shared_ptr<ImageSet> set, const LoaderOptions& options, Wants wants, Device device);

  Batch at(int64_t step, PhaseClock& clock) override;
  int64_t steps_per_epoch() const override { return loader_.steps_per_epoch(); }
  int64_t items_per_step() const override { return options_.batch; }
  std::string describe() const override { return set_->describe(); }
  DataIdentity identity() const override;
  std::string problems() const override { return set_->damage().any() ? set_->damage().text() : ""; }

 private:
  Tensor on_device(const Tensor& pixels);

  std::shared_ptr<ImageSet> set_;
  Loader loader_;
  LoaderOptions options_;
  Wants wants_;
  int64_t next_ = 0;
  Device device_;
  Tensor resident_;  // a resident set's pixels, uploaded once
  Upload upload_;    // a streamed batch's
};

}  // namespace gestalt
