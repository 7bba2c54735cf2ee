// Batches of images in a shuffled order that depends on the seed and the epoch alone, decoded ahead where need be.
#pragma once

#include <memory>

#include "engine/data/images/image_set.h"

namespace gestalt {

struct ImageBatch {
  Tensor pixels;                       // u8 (bytes): the whole resident set, or this batch's images one after another
  std::vector<kernels::Frame> frames;  // where in `pixels` each image of the batch lies
  std::vector<int32_t> samples;        // indices into the set
  std::vector<int32_t> labels;         // empty if the set is unlabelled
  int64_t epoch = 0, step = 0;         // `step` counts batches from 0 over all epochs
};

struct LoaderOptions {
  int64_t batch = 256;
  uint64_t seed = 0;
  int threads = 0;        // that decode; 0 is as many as the kernels have, less one. Batches do not depend on it
  int64_t prefetch = 2;   // batches decoded ahead of the one in use
  bool drop_last = true;  // leave out an epoch's last batch if it is not full
  bool shuffle = true;
};

// The order of `count` samples in `epoch`: a Fisher-Yates shuffle driven by Philox.
std::vector<int32_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch);

class Loader {
 public:
  // Throws Error if the set has fewer images than one batch (unless the last batch may be short).
  Loader(std::shared_ptr<ImageSet>, const LoaderOptions&);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next batch; never ends. Throws what decoding threw. The caller may hold on to any number of batches.
  ImageBatch next();
  // Makes next() return what it would after `step` calls on a new loader.
  void seek(int64_t step);
  int64_t steps_per_epoch() const;
  const ImageSet& images() const { return *set_; }

 private:
  class Decoder;  // the threads that decode a streaming set

  // The samples of batch `step`, before any is replaced.
  std::vector<int32_t> samples_of(int64_t step);

  std::shared_ptr<ImageSet> set_;
  LoaderOptions options_;
  int64_t step_ = 0;
  int64_t order_epoch_ = -1;
  std::vector<int32_t> order_;  // of order_epoch_
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace gestalt
