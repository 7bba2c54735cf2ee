// Upload: batches to the device by way of page-locked memory, on the copy stream, while the device computes.
#pragma once

#include <array>
#include <memory>

#include "engine/tensor/tensor.h"

namespace gestalt {

// For one batch after another. Work that uses a batch is enqueued on the compute stream before the next call; the
// memory of a result is written again by the second call after it.
class Upload {
 public:
  Upload();
  ~Upload();
  Upload(const Upload&) = delete;

  // A u8 CPU tensor on CUDA. Returns at once, but for the copy into page-locked memory.
  Tensor operator()(const Tensor& host);

 private:
  struct Slot;
  std::array<std::unique_ptr<Slot>, 2> slots_;  // used in turn
};

}  // namespace gestalt
