// `gestalt look`: neighbours, duplicates, outliers and images to label first, as tables and sheets of pictures.
#include "tasks/evaluation/look.h"

#include <fmt/format.h>

#include <memory>

#include "engine/data/images/splits.h"
#include "engine/run/files.h"
#include "kernels/cpu/team.h"
#include "tools/commands.h"
#include "tools/evaluation.h"
#include "tools/flags.h"
#include "tools/output.h"

namespace gestalt::tools {
namespace {

struct LookCommand : EncoderChoice {
  std::string data, out, split = "all";
  int64_t threads = 0;
  LookOptions options;

  void fields(Fields& f) {
    f("data", data, "the images; see 'gestalt list data'");
    f("out", out, "folder for the tables and sheets");
    f("split", split, "which images; all: each one once", {"all", "train", "test", "pretrain"});
    options.fields(f);
    f("batch", batch, "images encoded at once", between(1, 1 << 24));
    f("threads", threads, "of the CPU; 0: one a core", between(0, 1024));
    EncoderChoice::fields(f);
  }
};

void run(LookCommand o) {
  o.data = expand_home(o.data), o.out = expand_home(o.out);
  check(!o.data.empty() && !o.out.empty(), "[look] got no {}; see 'gestalt look --help'",
        o.data.empty() ? "--data" : "--out");
  if (o.threads > 0) kernels::cpu::set_team_size(static_cast<int>(o.threads));
  ReadyEncoder ready = load_ready(o, 1, "look");
  ready.view.threads = static_cast<int>(o.threads);
  OpenOptions open = centre_views(ready.view.size);
  open.threads = ready.view.threads, open.damage_limit = 1;
  const bool files = names_image_files(o.data);
  if (files) open.resident_bytes = 0;
  const AllImages images = open_all_images(o.data, o.split, open);
  open.decode_size = 0, open.decode_crop = false;
  const AllImages stored = files ? open_all_images(o.data, o.split, open) : images;
  fmt::print("{}\n", images.set->describe());
  flush_output();
  const LookResult result = look(*ready.loaded.encoder, images, stored, ready.view, o.options, o.out);
  const DamageReport damage = images.set->damage();
  if (damage.any()) fmt::print("{}\n", damage.text());
  fmt::print("{} images, in {}/\n", result.images, o.out);
  for (const std::string& line : result.said) fmt::print("{}\n", line);
}

}  // namespace

void add_look(Command program) {
  const Command command = program.add("look", "find neighbours, duplicates, outliers and images to label first");
  const auto options = std::make_shared<LookCommand>();
  command.argument("encoder", options->encoder,
                   "folder of a run or of a model, or a safetensors file: ours, torchvision's, timm's, transformers'");
  command.footer(
      "Two images are duplicates where their features are near (--near) and their pixels agree (--pixels), also after "
      "compression, brightening, resizing or a small crop; 'exact' are the same pixels. Needs no labels.");
  set_command(
      command, [](const LookCommand& o) { run(o); }, options);
}

}  // namespace gestalt::tools
