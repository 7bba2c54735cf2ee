// Walking a text window by window.
#include "tasks/evaluation/held_out.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/data/text/token_batches.h"

namespace gestalt {

HeldOutLoss held_out_loss(const TokenLoss& loss, const std::shared_ptr<const TokenFile>& text, int64_t context,
                          int64_t batch, DType dtype) {
  const TokenBatches batches(text, context, 0);
  HeldOutLoss result;
  result.windows = batches.windows();
  result.tokens = result.windows * context;
  double sum = 0;
  for (int64_t first = 0; first < result.windows; first += batch) {
    const int64_t count = std::min(batch, result.windows - first);
    const TokenBatch b = batches.window(first, count);
    sum += loss(b.inputs, b.targets) * static_cast<double>(count);
  }
  result.nats_per_token = sum / static_cast<double>(result.windows);
  check(std::isfinite(result.nats_per_token),
        "[evaluate] the loss on held-out text is {}; was the model trained with too high an --lr?",
        result.nats_per_token);
  result.bits_per_byte = result.nats_per_token / std::numbers::ln2 * static_cast<double>(text->count()) /
                         static_cast<double>(text->text_bytes());
  result.protocol = fmt::format("{} held-out tokens in {} windows of {} without overlap, {}", result.tokens,
                                result.windows, context, name(dtype));
  return result;
}

}  // namespace gestalt
