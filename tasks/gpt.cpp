// Next-token GPT: a causal Transformer learns to continue text.
// Radford et al. 2019, "Language models are unsupervised multitask learners".
#include "models/gpt.h"
#include "engine/data/text/tokenizer_files.h"
#include "engine/ops/cross_entropy.h"
#include "engine/run/files.h"
#include "models/gpt_file.h"
#include "tasks/training/text_method.h"

namespace gestalt {
namespace {

class NextToken : public TextMethod {
 public:
  NextToken() {
    run.batch = 64;
    run.epochs = 10;
    run.probe_every = 1;
    optimizer = {.kind = "adamw",
                 .rate = 1e-3,
                 .rate_scaling = "none",
                 .decay = 0.1,
                 .beta2 = 0.95,
                 .clip = 1,
                 .final_rate = 0.1};
  }

  void modality_fields(Fields& f) override {
    f.title("Model");
    model_.fields(f);
    f("dropout", dropout_, "of the embedding and of both branches of each block; not of attention's weights", under(1));
    f("init", init_, "begin with the weights of this GPT-2: a run, or a file or folder of transformers");
    f("vocabulary-multiple", row_multiple_, "rows of the token table are a multiple of this; 64 suits a GPU",
      between(1, 65536));
    TextMethod::modality_fields(f);
  }

  int64_t context() const override { return model_.context; }

  void build(Random& random) override {
    const int64_t vocabulary = tokens().training->vocabulary();
    const int64_t rows = (vocabulary + row_multiple_ - 1) / row_multiple_ * row_multiple_;
    gpt_ = std::make_unique<Gpt>(model_, vocabulary, random, rows);
    if (beginning && !init_.empty()) beginning->push_back(fill_gpt(expand_home(init_), *gpt_));
  }

  Loss loss(const Batch& batch, const StepInfo& info) override {
    DropoutSites drop{dropout_, static_cast<uint64_t>(run.seed), info.batch};
    return {cross_entropy((*gpt_)(batch.tokens, run.resolved_dtype(), drop), batch.targets), {}};
  }

  double token_loss(const Tensor& tokens, const Tensor& targets) override {
    return gestalt::token_loss(*gpt_, tokens, targets, run.resolved_dtype());
  }

  std::string export_to(const std::string& folder) override {  // in Hugging Face's layout
    const std::string to = folder + "/gpt2", &tokenizer = tokens().training->tokenizer();
    const std::string path = save_gpt(to, *gpt_, tokenizer, {{"gestalt.task", name()}, {"gestalt.data", run.data}});
    if (needs_files(tokenizer))
      refuse_tokenizer(to, "GPT-2's byte pairs, whose files are written by: gestalt export RUN --out FOLDER");
    else
      save_tokenizer_files(to, tokenizer, model_.context);
    return path;
  }

  void visit(Visitor& v) override { v("model", *gpt_); }

 private:
  GptOptions model_{.layers = 6, .heads = 6, .width = 384, .context = 256};
  std::string init_;
  double dropout_ = 0;
  int64_t row_multiple_ = 1;
  std::unique_ptr<Gpt> gpt_;
};

const RegisterMethod<NextToken> gpt("gpt",
                                    "GPT-2 (Radford et al. 2019): predict each token of a text from those before it");

}  // namespace
}  // namespace gestalt
