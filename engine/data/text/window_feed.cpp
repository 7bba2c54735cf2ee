// Drawing windows, and saying what they are drawn from.
#include "engine/data/text/window_feed.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/run/checksum.h"
#include "engine/run/fields_json.h"

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

std::string checksum_of(const TokenFile& file) {
  constexpr int64_t block = 1 << 16, most_blocks = 1 << 14;
  Checksum tokens;
  std::vector<int32_t> ids;
  const int64_t blocks = (file.count() + block - 1) / block;
  for (int64_t i = 0; i < blocks; i += std::max<int64_t>(1, blocks / most_blocks)) {
    ids.resize(static_cast<size_t>(std::min(block, file.count() - i * block)));
    file.read(i * block, ids);
    tokens.add(ids.data(), ids.size() * sizeof(int32_t));
  }
  return tokens.text();
}

DataIdentity WindowFeed::identity() const {
  const TokenFile& file = batches_.file();
  Json tokenizer = parse_json(file.path(), file.tokenizer());
  check(tokenizer.is_object(), "[tokens] '{}' has a tokenizer's record that is no object", file.path());
  tokenizer.erase("folder");  // GPT-2's files may lie elsewhere: the record has their checksum
  return {{"tokens", std::to_string(file.count())},
          {"bytes of text", std::to_string(file.text_bytes())},
          {"vocabulary", std::to_string(file.vocabulary())},
          {"checksum of the tokenizer", Checksum().add(tokenizer.dump()).text()},
          {"checksum of the tokens", checksum_of(file)}};
}

std::string WindowFeed::describe() const {
  const TokenFile& file = batches_.file();
  return fmt::format("{}: {} tokens of {}, {:.2f} bytes each", file.path(), file.count(), file.vocabulary(),
                     static_cast<double>(file.text_bytes()) / static_cast<double>(file.count()));
}

}  // namespace gestalt
