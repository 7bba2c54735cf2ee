// The probe of methods on text: their loss on the text that was kept out.
#include "tasks/evaluation/held_out.h"
#include "tasks/training/text_method.h"

namespace gestalt {
namespace {

class TextProbe : public Probe {
 public:
  std::vector<Metric> measure(Method& any) override {
    auto& method = dynamic_cast<TextMethod&>(any);
    if (!method.tokens().validation) return {};
    const HeldOutLoss held =
        held_out_loss([&](const Tensor& tokens, const Tensor& targets) { return method.token_loss(tokens, targets); },
                      method.tokens().validation, method.context(), method.run.batch, method.run.resolved_dtype());
    return {{"validation_loss", held.nats_per_token, "nats a token; " + held.protocol},
            {"bits_per_byte", held.bits_per_byte, held.protocol}};
  }
};

const RegisterProbe text_probe(Modality::text, [] { return std::unique_ptr<Probe>(std::make_unique<TextProbe>()); });

}  // namespace
}  // namespace gestalt
