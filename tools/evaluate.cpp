// `gestalt evaluate`: how good the features of a trained encoder are, by protocols that name themselves.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "engine/data/subset.h"
#include "models/export.h"
#include "tasks/evaluate.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace gestalt::tools {
namespace {

struct Source {
  std::string encoder, data, device = "auto", dtype = "auto";
  int64_t batch = 256;
  double labels = 1;
  bool untrained = false, raw_pixels = false;

  void fields(Fields& f) {
    f("data", data, "labelled images; see 'gestalt list data'");
    f("device", device, "auto, cpu or cuda", {"auto", "cpu", "cuda"});
    f("dtype", dtype, "what activations are computed in", {"auto", "f32", "bf16"});
    f("labels", labels, "share of each class's training images to use, for example 0.01 or 0.1; the same for everyone");
    f("eval-batch", batch, "images encoded at once");
    f("untrained", untrained, "the encoder's architecture with fresh weights, as a baseline");
    f("raw-pixels", raw_pixels, "the pixels themselves as features, as a baseline");
  }
};

struct Split {
  Features train, test;
  int64_t classes;
  std::string what;
};

Split features_of(const Source& source) {
  LoadedEncoder loaded = load_encoder(source.encoder);
  const auto note = loaded.info.notes.find("gestalt.normalise");
  RunOptions run{.device = source.device, .dtype = source.dtype};
  const ViewOptions view{.size = loaded.info.image_size,
                         .normalisation = note == loaded.info.notes.end() ? "none" : note->second,
                         .batch = source.batch,
                         .device = run.resolved_device(),
                         .dtype = run.resolved_dtype()};
  check(!source.data.empty(), "[evaluate] got no --data; name labelled images, see 'gestalt list data'");
  OpenOptions open{.split = "train", .hold_out = true, .decode_size = static_cast<int32_t>(view.size * 8 / 7)};
  auto train = open_images(source.data, open);
  open.split = "test";
  const auto test = open_images(source.data, open);
  check(!train->labels().empty(), "[evaluate] {} has no labels", source.data);
  if (source.labels != 1) train = subset(train, few_labels(train->labels(), source.labels));
  fmt::print("{}\n{}\n", train->describe(), test->describe());
  const auto classes = static_cast<int64_t>(train->class_names().size());
  if (source.raw_pixels) return {raw_pixels(train, view), raw_pixels(test, view), classes, "raw pixels"};
  if (source.untrained) {
    Random random(1);
    loaded.encoder = make_encoder(loaded.info.options, view.size, random);
  }
  move_to(*loaded.encoder, view.device);
  return {extract_features(*loaded.encoder, train, view), extract_features(*loaded.encoder, test, view), classes,
          source.untrained ? "untrained encoder" : source.encoder};
}

// One subcommand: `Options` holds the protocol's own flags, `accuracy` is its function.
template <class Options>
void add_protocol(CLI::App& evaluate, const char* name, const char* help,
                  double (*accuracy)(const Features&, const Features&, int64_t, const Options&)) {
  CLI::App* command = evaluate.add_subcommand(name, help);
  const auto source = std::make_shared<Source>();
  const auto options = std::make_shared<Options>();
  command->add_option("encoder", source->encoder, "encoder.safetensors of a run")->required();
  FlagFields flags(*command);
  source->fields(flags);
  options->fields(flags);
  command->callback([command, source, options, name, accuracy] {
    GivenFields given(*command, "");
    source->fields(given);
    options->fields(given);
    const Split split = features_of(*source);
    fmt::print("{}: {} accuracy {:.2f} % on {} test images\nprotocol: {}; {} labelled images ({:g} %)\n", split.what,
               name, accuracy(split.train, split.test, split.classes, *options), split.test.labels.size(),
               options->protocol(), split.train.labels.size(), 100 * source->labels);
  });
}

}  // namespace

void add_evaluate(CLI::App& app) {
  CLI::App* evaluate = app.add_subcommand("evaluate", "measure the features of an encoder")->require_subcommand(1);
  add_protocol<KnnOptions>(*evaluate, "knn", "weighted nearest neighbours on frozen features", knn_accuracy);
  add_protocol<LinearOptions>(*evaluate, "linear", "a linear classifier on frozen features", linear_accuracy);
  add_finetune(*evaluate);
}

}  // namespace gestalt::tools
