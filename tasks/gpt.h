// Next-token GPT: a causal Transformer learns to continue text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/data/text/token_batches.h"
#include "engine/data/text/tokenize.h"
#include "models/gpt.h"
#include "tasks/training/task.h"

namespace gestalt {

// The training and validation tokens that `spec` names: `tokens:FOLDER` (from `gestalt tokenize`), `text:FILE`, whose
// last part is kept for validation, or `sums:LINES`, a text made by a formula: lines such as "27+45=72". The last two
// are tokenized in memory as `options` say. Throws Error for another spec, a missing file, or two token files of
// different tokenizers.
TokenSets open_tokens(const std::string& spec, const TokenizeOptions& options);
// The same by a model's own tokenizer. Throws Error where a text has a character that the tokenizer does not know, or
// token files are of another tokenizer.
TokenSets open_tokens(const std::string& spec, const Tokenizer& tokenizer, double val_fraction);

// Lines for `gestalt list data`.
struct TextSource {
  std::string usage, help;
};
const std::vector<TextSource>& text_sources();

// A model's loss on all windows of a text, one after the other without overlap.
struct HeldOutLoss {
  double nats_per_token = 0, bits_per_byte = 0;
  int64_t windows = 0, tokens = 0;
  std::string protocol;
};
HeldOutLoss held_out_loss(const Gpt& model, const std::shared_ptr<const TokenFile>& text, int64_t batch, DType dtype);

// Radford et al. 2019, "Language models are unsupervised multitask learners". An epoch is as many random windows as
// hold the number of tokens in the set.
class GptTask : public Task {
 public:
  GptOptions model;
  TokenizeOptions text;
  double dropout = 0;
  int64_t row_multiple = 1;

  GptTask();
  std::string name() const override { return "gpt"; }
  void fields(Fields& f) override;
  std::unique_ptr<Feed> open() override;
  void build(Random& random) override;
  LossOutput loss(const Inputs& inputs, const StepInfo& info) override;
  bool replayable() const override { return true; }
  std::vector<Metric> probe() override;
  std::string export_to(const std::string& folder) override;  // folder/gpt2, in Hugging Face's layout
  void visit(Visitor& v) override;

 private:
  std::unique_ptr<Gpt> gpt_;
  TokenSets tokens_;
};

}  // namespace gestalt
