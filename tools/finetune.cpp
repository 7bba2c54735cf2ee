// `gestalt evaluate finetune`: supervised training from an encoder file, or from scratch, with all labels or few.
#include "tasks/evaluation/finetune.h"

#include <fmt/format.h>

#include <memory>

#include "engine/data/images/subset.h"
#include "tools/commands.h"
#include "tools/evaluation.h"
#include "tools/flags.h"
#include "tools/output.h"

namespace gestalt::tools {
namespace {

void run(const EncoderSource& source, const FinetuneOptions& options) {
  OpenedEncoder opened = open_encoder(source, static_cast<uint64_t>(options.seed), true);
  const double accuracy = finetune_accuracy(
      *opened.loaded.encoder, opened.train, opened.test, opened.view, options,
      [&](int64_t epoch, double loss) { note(fmt::format("epoch {}/{}  loss {:.4f}", epoch, options.epochs, loss)); });
  const auto kept = static_cast<int64_t>(few_labels(opened.train->labels(), options.labels).size());
  print_result(source, opened,
               {.evaluation = "finetune",
                .accuracy = accuracy,
                .protocol = options.of_bank(kept).protocol(),
                .labels = options.labels,
                .kept = kept,
                .instead = source.untrained ? "from scratch" : ""});
}

}  // namespace

void add_finetune(Command evaluate) {
  const Command command = evaluate.add(
      "finetune", "train the encoder and a classifier with labels; with --untrained, supervised from scratch");
  const auto source = std::make_shared<EncoderSource>();
  const auto options = std::make_shared<FinetuneOptions>();
  command.argument("encoder", source->encoder,
                   "folder of a run or of a model, or a safetensors file: ours, torchvision's, timm's, transformers'");
  set_command(
      command, [](const EncoderSource& s, const FinetuneOptions& o) { run(s, o); }, source, options);
}

}  // namespace gestalt::tools
