// Batches for next-token prediction: random windows for training, windows in order for validation.
#pragma once

#include <memory>

#include "engine/data/text/token_file.h"
#include "engine/tensor/tensor.h"

namespace gestalt {

struct TokenBatch {
  Tensor inputs;   // (B, T) i32
  Tensor targets;  // (B, T) i32, each the token after its input
};

class TokenBatches {
 public:
  // Windows of `length` tokens (T) and one more. Throws Error if the file has none.
  TokenBatches(std::shared_ptr<const TokenFile> file, int64_t length, uint64_t seed);

  // Windows [first, first + batch) of an endless row that the seed alone decides: they start anywhere, uniformly, with
  // replacement. Step s of a training reads on at first = s · batch, so that batches and micro-batches of any size go
  // through the same windows.
  TokenBatch random(int64_t first, int64_t batch) const;
  int64_t start(int64_t number) const;  // where that window starts, in [0, count - T)

  // Windows that follow each other without overlap, so that each target is seen once. What is left at the end and too
  // short for a window is left out.
  int64_t windows() const { return (file_->count() - 1) / length_; }
  TokenBatch window(int64_t first, int64_t batch) const;  // windows [first, first + batch)

  const TokenFile& file() const { return *file_; }
  int64_t length() const { return length_; }

 private:
  template <class Start>
  TokenBatch gather(int64_t batch, Start&& start) const;

  std::shared_ptr<const TokenFile> file_;
  int64_t length_;
  uint64_t seed_;
};

}  // namespace gestalt
