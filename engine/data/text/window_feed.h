// WindowFeed: random windows of a tokenized text.
#pragma once

#include "engine/data/feed.h"
#include "engine/data/text/token_batches.h"

namespace gestalt {

// An epoch is as many windows as hold the number of tokens in the set.
class WindowFeed : public Feed {
 public:
  // Throws Error if the text has fewer tokens than a window of `context` and one more.
  WindowFeed(std::shared_ptr<const TokenFile> file, int64_t context, int64_t batch, uint64_t seed, Device device);

  Batch at(int64_t step, PhaseClock& clock) override;
  int64_t steps_per_epoch() const override;
  int64_t items_per_step() const override { return batch_ * batches_.length(); }
  std::string item() const override { return "tokens"; }
  std::string describe() const override;
  DataIdentity identity() const override;

 private:
  TokenBatches batches_;
  int64_t batch_;
  Device device_;
};

// Of all ids, or of a part of those of a text of more than 2³⁰.
std::string checksum_of(const TokenFile& file);

}  // namespace gestalt
