// `gestalt evaluate`: how good the features of a trained encoder are, by protocols that name themselves.
#include <fmt/format.h>

#include <memory>

#include "engine/data/images/subset.h"
#include "tasks/evaluation/knn.h"
#include "tasks/evaluation/linear.h"
#include "tools/commands.h"
#include "tools/evaluation.h"
#include "tools/flags.h"
#include "tools/output.h"

namespace gestalt::tools {
namespace {

// What the protocols on frozen features share.
struct FrozenSource : EncoderSource {
  double labels = 1;
  bool raw_pixels = false;

  void fields(Fields& f) {
    EncoderSource::fields(f);
    f("raw-pixels", raw_pixels, "baseline: the pixels themselves as features");
    f("labels", labels, "share of each class's training images to use, for example 0.01 or 0.1; the same for everyone",
      above_up_to(0, 1));
  }
};

double accuracy_of(OpenedEncoder& o, const FrozenSource& source, const KnnOptions& knn) {
  if (source.raw_pixels) return knn_accuracy(raw_pixels(o.train, o.view), raw_pixels(o.test, o.view), o.classes, knn);
  Encoder& encoder = *o.loaded.encoder;
  return knn_accuracy(extract_features(encoder, o.train, o.view), extract_features(encoder, o.test, o.view), o.classes,
                      knn);
}

double accuracy_of(OpenedEncoder& o, const FrozenSource& source, const LinearOptions& linear) {
  check(!source.raw_pixels || !linear.augment, "[evaluate] got --raw-pixels and --augment, expected one of them");
  if (source.raw_pixels)
    return linear_accuracy(raw_pixels(o.train, o.view), raw_pixels(o.test, o.view), o.classes, linear, o.view.device);
  Encoder& encoder = *o.loaded.encoder;
  if (linear.augment)
    return augmented_linear_accuracy(encoder, o.train, o.test, o.view, linear, [&](int64_t epoch, double loss) {
      note(fmt::format("epoch {}/{}  loss {:.4f}", epoch, linear.epochs, loss));
    });
  return linear_accuracy(extract_features(encoder, o.train, o.view), extract_features(encoder, o.test, o.view),
                         o.classes, linear, o.view.device);
}

bool draws_views(const KnnOptions&) { return false; }
bool draws_views(const LinearOptions& linear) { return linear.augment; }

uint64_t seed_of(const KnnOptions&) { return 1; }
uint64_t seed_of(const LinearOptions& linear) { return static_cast<uint64_t>(linear.seed); }

std::string name_of(const KnnOptions&) { return "knn"; }
std::string name_of(const LinearOptions& linear) { return linear.augment ? "linear (augmented)" : "linear"; }

std::string details_of(const KnnOptions& knn, int64_t bank) {
  if (knn.k >= bank)
    note(
        fmt::format("gestalt: warning: all {} labelled images vote, as --knn-k is {}; the answer is nearly the same "
                    "for every image: "
                    "give a smaller --knn-k",
                    bank, knn.k));
  return fmt::format("k = {}", knn.of_bank(bank).k);
}
std::string details_of(const LinearOptions&, int64_t) { return ""; }

template <class Options>
void run(const FrozenSource& source, const Options& options) {
  check(!source.raw_pixels || !source.untrained, "[evaluate] got --raw-pixels and --untrained, expected one of them");
  OpenedEncoder opened = open_encoder(source, seed_of(options), draws_views(options));
  const std::shared_ptr<ImageSet> all = opened.train;
  if (source.labels != 1) opened.train = subset(all, few_labels(all->labels(), source.labels));
  const double accuracy = accuracy_of(opened, source, options);
  const int64_t kept = opened.train->size();
  opened.train = all;
  const char* instead = source.raw_pixels ? "raw pixels" : source.untrained ? "untrained encoder" : "";
  print_result(source, opened,
               {.evaluation = name_of(options),
                .details = details_of(options, kept),
                .accuracy = accuracy,
                .protocol = options.of_bank(kept).protocol(),
                .labels = source.labels,
                .kept = kept,
                .instead = instead});
}

// One subcommand: `Options` holds the protocol's own flags.
template <class Options>
void add_protocol(Command evaluate, const char* name, const char* help) {
  const Command command = evaluate.add(name, help);
  const auto source = std::make_shared<FrozenSource>();
  const auto options = std::make_shared<Options>();
  command.argument("encoder", source->encoder,
                   "folder of a run or of a model, or a safetensors file: ours, torchvision's, timm's, transformers'");
  set_command(
      command, [](const FrozenSource& s, const Options& o) { run(s, o); }, source, options);
}

}  // namespace

void add_evaluate(Command program) {
  const Command evaluate = program.add("evaluate", "measure what a model has learned");
  evaluate.known_as({"eval", "test", "probe", "measure", "benchmark", "finetune", "knn", "linear"});
  add_protocol<KnnOptions>(evaluate, "knn", "weighted nearest neighbours on frozen features");
  add_protocol<LinearOptions>(evaluate, "linear", "a linear classifier on frozen features");
  add_finetune(evaluate);
  add_text(evaluate);
}

}  // namespace gestalt::tools
