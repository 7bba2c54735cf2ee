// Drawing windows, and saying what they are drawn from.
#include "engine/data/text/window_feed.h"

#include <fmt/format.h>

#include <algorithm>

namespace gestalt {

WindowFeed::WindowFeed(std::shared_ptr<const TokenFile> file, int64_t context, int64_t batch, uint64_t seed,
                       Device device)
    : batches_(std::move(file), context, seed), batch_(batch), device_(device) {}

Batch WindowFeed::at(int64_t step, PhaseClock& clock) {
  clock.enter(Phase::data);
  const TokenBatch drawn = batches_.random(step * batch_, batch_);
  Batch batch;
  batch.tokens = drawn.inputs.to(device_);
  batch.targets = drawn.targets.to(device_);
  return batch;
}

int64_t WindowFeed::steps_per_epoch() const { return std::max<int64_t>(1, batches_.file().count() / items_per_step()); }

std::string WindowFeed::describe() const {
  const TokenFile& file = batches_.file();
  return fmt::format("{}: {} tokens of {}, {:.2f} bytes each", file.path(), file.count(), file.vocabulary(),
                     static_cast<double>(file.text_bytes()) / static_cast<double>(file.count()));
}

}  // namespace gestalt
