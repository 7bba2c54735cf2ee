// A model's loss on text that it was not trained on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/data/text/token_file.h"
#include "engine/tensor/tensor.h"

namespace gestalt {

// The mean of −ln p(target) over tokens and targets (B, T), i32 on the CPU.
using TokenLoss = std::function<double(const Tensor& tokens, const Tensor& targets)>;

struct HeldOutLoss {
  double nats_per_token = 0, bits_per_byte = 0;
  int64_t windows = 0, tokens = 0;
  std::string protocol;
};
// Over all windows of `context` tokens, one after the other without overlap, `batch` at a time.
HeldOutLoss held_out_loss(const TokenLoss& loss, const std::shared_ptr<const TokenFile>& text, int64_t context,
                          int64_t batch, DType dtype);

}  // namespace gestalt
