// `gestalt pack`: decodes an image set once, into one file of pixels that training maps into memory.
#include <filesystem>
#include <memory>

#include "engine/data/images/image_set.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace gestalt::tools {
namespace {

struct PackOptions {
  std::string spec, out, split = "train";
  int64_t size = 0, threads = 0;
  bool hold_out = false, overwrite = false;

  void fields(Fields& f) {
    f("size", size, "side of the squares that images are cut to; 0: as they are, if all have one size");
    f("split", split, "which images", {"train", "test", "pretrain"});
    f("hold-out", hold_out, "leave the test images out of 'train' where the set has no test split of its own");
    f("threads", threads, "that decode; 0: one a core");
    f("overwrite", overwrite, "replace OUT if it exists");
  }
};

void pack(PackOptions o) {
  check(o.overwrite || !std::filesystem::exists(o.out), "[pack] '{}' exists; choose another name or give --overwrite",
        o.out);
  check(o.size >= 0 && o.size <= 4096, "[pack] got --size {}, expected 0 to 4096", o.size);
  check(o.threads >= 0 && o.threads <= 1024, "[pack] got --threads {}, expected 0 to 1024", o.threads);
  OpenOptions open;
  open.split = o.split;
  open.hold_out = o.hold_out;
  open.decode_size = static_cast<int32_t>(o.size);
  open.decode_crop = o.size > 0;
  open.threads = static_cast<int>(o.threads);
  const std::shared_ptr<ImageSet> set = open_images(o.spec, open);
  fmt::print("{}\n", set->describe());
  write_packed(*set, o.out, static_cast<int32_t>(o.size), static_cast<int>(o.threads));
  const DamageReport damage = set->damage();
  if (damage.any()) fmt::print("{}\n", damage.text());
  fmt::print("wrote {} ({:.1f} MB): train with --data packed:{}\n", o.out,
             static_cast<double>(std::filesystem::file_size(o.out)) / 1e6, o.out);
}

}  // namespace

void add_pack(Command program) {
  const Command command = program.add("pack", "decode an image set once, into one file that training maps");
  const auto options = std::make_shared<PackOptions>();
  command.argument("spec", options->spec, "the image set; see 'gestalt list data'");
  command.argument("out", options->out, "the file to write");
  set_command(
      command, [](const PackOptions& o) { pack(o); }, options);
}

}  // namespace gestalt::tools
