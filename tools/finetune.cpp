// `gestalt evaluate finetune`: supervised training from an encoder file, or from scratch, with all labels or few.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "models/export.h"
#include "tasks/finetune.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace gestalt::tools {
namespace {

struct Start {
  std::string encoder, data, device = "auto", dtype = "auto";
  bool untrained = false;

  void fields(Fields& f) {
    f("data", data, "labelled images; see 'gestalt list data'");
    f("device", device, "auto, cpu or cuda", {"auto", "cpu", "cuda"});
    f("dtype", dtype, "what activations are computed in", {"auto", "f32", "bf16"});
    f("untrained", untrained, "from scratch: the encoder's architecture with fresh weights, drawn by the seed");
  }
};

void run(const Start& start, const FinetuneOptions& options) {
  LoadedEncoder loaded = load_encoder(start.encoder);
  const auto note = loaded.info.notes.find("gestalt.normalise");
  const RunOptions resolve{.device = start.device, .dtype = start.dtype};
  const ViewOptions view{.size = loaded.info.image_size,
                         .normalisation = note == loaded.info.notes.end() ? "none" : note->second,
                         .device = resolve.resolved_device(),
                         .dtype = resolve.resolved_dtype()};
  check(!start.data.empty(), "[evaluate] got no --data; name labelled images, see 'gestalt list data'");
  OpenOptions open{.split = "train", .hold_out = true, .decode_size = static_cast<int32_t>(view.size * 8 / 7)};
  const auto train = open_images(start.data, open);
  open.split = "test";
  const auto test = open_images(start.data, open);
  fmt::print("{}\n{}\n", train->describe(), test->describe());
  if (start.untrained) {
    Random random(static_cast<uint64_t>(options.seed));
    loaded.encoder = make_encoder(loaded.info.options, view.size, random);
  }
  const double accuracy =
      finetune_accuracy(*loaded.encoder, train, test, view, options, [&](int64_t epoch, double loss) {
        fmt::print(stderr, "epoch {}/{}  loss {:.4f}\n", epoch, options.epochs, loss);
      });
  fmt::print("{}: finetune accuracy {:.2f} % on {} test images\nprotocol: {}\n",
             start.untrained ? loaded.info.options.model + " from scratch" : start.encoder, accuracy, test->size(),
             options.protocol());
}

}  // namespace

void add_finetune(CLI::App& evaluate) {
  CLI::App* command = evaluate.add_subcommand("finetune", "train the encoder and a classifier with labels");
  const auto start = std::make_shared<Start>();
  const auto options = std::make_shared<FinetuneOptions>();
  command->add_option("encoder", start->encoder, "encoder.safetensors of a run")->required();
  FlagFields flags(*command);
  start->fields(flags);
  options->fields(flags);
  command->callback([command, start, options] {
    GivenFields given(*command, "");
    start->fields(given);
    options->fields(given);
    run(*start, *options);
  });
}

}  // namespace gestalt::tools
