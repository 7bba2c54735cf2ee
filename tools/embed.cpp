// `gestalt embed`: the features of every image of a source, for other programs.
#include "tasks/evaluation/embed.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "engine/data/images/splits.h"
#include "engine/run/files.h"
#include "engine/run/signals.h"
#include "kernels/cpu/team.h"
#include "tools/commands.h"
#include "tools/evaluation.h"
#include "tools/flags.h"
#include "tools/output.h"

namespace gestalt::tools {
namespace {

struct EmbedCommand : EncoderChoice {
  std::string data, split = "all";
  int64_t size = 0, threads = 0;
  EmbedOptions to;

  void fields(Fields& f) {
    f("data", data, "the images; see 'gestalt list data'");
    f("out", to.out, "NAME.npy, with NAME.files.csv beside it that names the rows, or NAME.csv with all in one table");
    f("layer", to.layer, "pooled: a vector an image; patch: the patch tokens of a ViT or the last map of a ResNet",
      {"pooled", "patch"});
    f("split", split, "which images; all: each one once, in the source's order", {"all", "train", "test", "pretrain"});
    f("size", size, "side of the views in pixels; 0: as in training", between(0, 4096));
    f("batch", batch, "images encoded at once", between(1, 1 << 24));
    f("threads", threads, "of the CPU; 0: one a core", between(0, 1024));
    f("overwrite", to.overwrite, "begin anew where the file, or an unfinished one, is there");
    EncoderChoice::fields(f);
  }
};

// A line each ten seconds.
std::function<void(int64_t)> progress_on_stderr(int64_t total) {
  using Clock = std::chrono::steady_clock;
  return [total, last = Clock::now(), done = int64_t{-1}](int64_t images) mutable {
    const double seconds = std::chrono::duration<double>(Clock::now() - last).count();
    if (seconds < 10) return;
    if (done >= 0)
      note(
          fmt::format("{} of {} images, {:.0f} images/s", images, total, static_cast<double>(images - done) / seconds));
    last = Clock::now(), done = images;
  };
}

int run(EmbedCommand o) {
  o.data = expand_home(o.data), o.to.out = expand_home(o.to.out);
  check(!o.data.empty() && !o.to.out.empty(), "[embed] got no {}; see 'gestalt embed --help'",
        o.data.empty() ? "--data" : "--out");
  if (o.threads > 0) kernels::cpu::set_team_size(static_cast<int>(o.threads));
  ReadyEncoder ready = load_ready(o, 1, "embed");
  if (o.size > 0) ready.view.size = o.size;
  ready.view.threads = static_cast<int>(o.threads);
  OpenOptions open = centre_views(ready.view.size);
  open.threads = ready.view.threads, open.damage_limit = 1;
  if (names_image_files(o.data)) open.resident_bytes = 0;  // the first rows come before all files are read
  const AllImages images = open_all_images(o.data, o.split, open);
  fmt::print("{}\n", images.set->describe());
  flush_output();
  StopSignal stop;
  o.to.progress = progress_on_stderr(images.set->size());
  o.to.stop = [&] { return stop.requested(); };
  const EmbedResult result = embed(*ready.loaded.encoder, images, ready.view, o.to);
  if (!result.ended) {
    fmt::print("stopped after {} of {} images; the same command goes on from there\n", result.images,
               images.set->size());
    return 128 + stop.signal();
  }
  if (result.resumed_at > 0) fmt::print("went on after {} images\n", result.resumed_at);
  const size_t shown = std::min<size_t>(result.skipped.size(), 10);
  if (!result.skipped.empty()) fmt::print("{} images could not be read and have no row:\n", result.skipped.size());
  for (size_t i = 0; i < shown; ++i) fmt::print("  {} {}\n", result.skipped[i].file, result.skipped[i].reason);
  if (shown < result.skipped.size()) fmt::print("  and {} more\n", result.skipped.size() - shown);
  fmt::print("features {} of {}: {}\n", result.shape.text(), o.untrained ? "an untrained encoder" : o.encoder,
             fmt::join(result.files, ", "));
  return 0;
}

}  // namespace

void add_embed(Command program) {
  const Command command = program.add("embed", "write the features of every image to a file, for other programs");
  command.known_as({"encode", "extract", "features", "predict", "infer"});
  const auto options = std::make_shared<EmbedCommand>();
  command.argument("encoder", options->encoder,
                   "folder of a run or of a model, or a safetensors file: ours, torchvision's, timm's, transformers'");
  command.footer(
      "Rows are in the order of the data: numpy.load(\"e.npy\"), and \"e.files.csv\" has file, split and label of "
      "each. An image that cannot be read has no row and stands in e.skipped.csv. Interrupted, the same command goes "
      "on, and "
      "the files are the same, byte for byte.");
  set_command(
      command, [](const EmbedCommand& o) { return run(o); }, options);
}

}  // namespace gestalt::tools
