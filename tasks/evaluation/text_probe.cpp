// The probe of methods on text: their loss on the text that was kept out.
#include <fmt/format.h>

#include "tasks/evaluation/held_out.h"
#include "tasks/training/text_method.h"

namespace gestalt {
namespace {

class TextProbe : public Probe {
 public:
  Outlook outlook(Method& any) override {
    const auto& method = dynamic_cast<TextMethod&>(any);
    const auto& held = method.tokens().validation;
    if (!held) return {false, {}};  // as was asked for
    if (held->count() > method.context()) return {};
    return {false,
            fmt::format("the held-out text has {} tokens, too few for a window of {} and its last target (give more "
                        "text, a larger --val-fraction or a smaller --context)",
                        held->count(), method.context())};
  }

  std::vector<Metric> measure(Method& any) override {
    auto& method = dynamic_cast<TextMethod&>(any);
    if (!outlook(method).possible) return {};
    const HeldOutLoss held =
        held_out_loss([&](const Tensor& tokens, const Tensor& targets) { return method.token_loss(tokens, targets); },
                      method.tokens().validation, method.context(), method.run.batch, method.run.resolved_dtype());
    return {{"validation_loss", held.nats_per_token, "nats a token; " + held.protocol},
            {"bits_per_byte", held.bits_per_byte, held.protocol}};
  }

  std::vector<std::string> columns() const override { return {"validation_loss", "bits_per_byte"}; }
  bool is_loss() const override { return true; }
};

const RegisterProbe text_probe(Modality::text, [] { return std::unique_ptr<Probe>(std::make_unique<TextProbe>()); });

}  // namespace
}  // namespace gestalt
