// TextMethod: opening text.
#include "tasks/training/text_method.h"

#include "engine/data/text/window_feed.h"

namespace gestalt {

void TextMethod::modality_fields(Fields& f) {
  f.title("Text");
  text.fields(f);
}

std::unique_ptr<Feed> TextMethod::open() {
  tokens_ = open_tokens(run.data, text);
  return std::make_unique<WindowFeed>(tokens_.training, wants().context, run.batch, static_cast<uint64_t>(run.seed),
                                      run.resolved_device());
}

DataIdentity TextMethod::held_out_identity() const {
  if (!tokens_.validation) return {};
  return {{"held-out tokens", std::to_string(tokens_.validation->count())},
          {"checksum of the held-out tokens", checksum_of(*tokens_.validation)}};
}

}  // namespace gestalt
