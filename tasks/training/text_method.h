// TextMethod: what methods on text share: the tokens.
#pragma once

#include "engine/data/text/token_sets.h"
#include "tasks/training/method.h"

namespace gestalt {

class TextMethod : public Method {
 public:
  TokenizeOptions text;

  TextMethod() { run.data = "sums:20000"; }
  Modality modality() const override { return Modality::text; }
  Wants wants() const override { return {.modality = Modality::text, .context = context()}; }
  std::unique_ptr<Feed> open() override;
  DataIdentity held_out_identity() const override;
  std::vector<CollapseSign> collapse_signs() const override { return {}; }  // words cannot all be predicted by one

  virtual int64_t context() const = 0;  // tokens of a window
  // The mean of −ln p(target) over (B, T) tokens and targets, without gradients: what held-out text is measured by.
  virtual double token_loss(const Tensor& tokens, const Tensor& targets) = 0;
  const TokenSets& tokens() const { return tokens_; }

 protected:
  void modality_fields(Fields& f) override;

 private:
  TokenSets tokens_;
};

}  // namespace gestalt
