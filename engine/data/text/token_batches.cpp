// Drawing and copying windows of a token file.
#include "engine/data/text/token_batches.h"

#include <algorithm>

#include "kernels/check.h"
#include "kernels/philox.h"

namespace gestalt {

TokenBatches::TokenBatches(std::shared_ptr<const TokenFile> file, int64_t length, uint64_t seed)
    : file_(std::move(file)), length_(length), seed_(seed) {
  check(length >= 1, "[tokens] got a length of {}, expected 1 or more", length);
  check(file_->count() > length,
        "[tokens] got {} tokens in '{}', expected at least {} for a window of {} and its last target; shorten the "
        "context or give more text",
        file_->count(), file_->path(), length + 1, length);
}

template <class Start>
TokenBatch TokenBatches::gather(int64_t batch, Start&& start) const {
  check(batch >= 1, "[tokens] got a batch of {}, expected 1 or more", batch);
  TokenBatch result{Tensor::empty({batch, length_}, DType::i32), Tensor::empty({batch, length_}, DType::i32)};
  std::vector<int32_t> window(length_ + 1);
  int32_t* inputs = result.inputs.data<int32_t>();
  int32_t* targets = result.targets.data<int32_t>();
  for (int64_t b = 0; b < batch; ++b) {
    file_->read(start(b), window);
    std::copy_n(window.begin(), length_, inputs + b * length_);
    std::copy_n(window.begin() + 1, length_, targets + b * length_);
  }
  return result;
}

int64_t TokenBatches::start(int64_t number) const {
  check(number >= 0, "[tokens] got window {}, expected 0 or more", number);
  const Philox4 r = draw(seed_, Use::window, static_cast<uint64_t>(number >> 32), static_cast<uint32_t>(number), 0);
  const uint64_t bits = static_cast<uint64_t>(r.word[0]) << 32 | r.word[1];
  // The upper half of the product is uniform in [0, starts), up to starts / 2^64.
  const uint64_t starts = static_cast<uint64_t>(file_->count() - length_);
  return static_cast<int64_t>(static_cast<unsigned __int128>(bits) * starts >> 64);
}

TokenBatch TokenBatches::random(int64_t first, int64_t batch) const {
  return gather(batch, [&](int64_t b) { return start(first + b); });
}

TokenBatch TokenBatches::window(int64_t first, int64_t batch) const {
  check(first >= 0 && batch >= 1 && first <= windows() - batch,
        "[tokens] got windows {} to {}, expected them in the {} of '{}'", first, first + batch - 1, windows(),
        file_->path());
  return gather(batch, [&](int64_t b) { return (first + b) * length_; });
}

}  // namespace gestalt
