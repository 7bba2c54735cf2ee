// `gestalt reconstruct`: a picture of what a masked autoencoder paints where it sees nothing.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>

#include "engine/run/files.h"
#include "tasks/mae.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/pretrain.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace gestalt::tools {
namespace {

struct ReconstructCommand {
  std::string run, data, images = "0-7", split = "test", out, device = "auto", dtype = "auto";
  std::vector<std::string> files;
  double mask_ratio = 0;
  int64_t mask_seed = 0;

  void fields(Fields& f) {
    f("data", data, "where images come from if no FILE is given; empty: the run's own data");
    f("split", split, "which of them", {"test", "train"});
    f("images", images, "their numbers, for example 3 or 0-7 or 0,5,17-20");
    f("mask-ratio", mask_ratio, "share of the patches to hide; 0: as in the run");
    f("mask-seed", mask_seed, "another number hides other patches");
    f("out", out, "the PNG to write; empty: reconstructions.png in the run folder");
    f("device", device, "auto, cpu or cuda", {"auto", "cpu", "cuda"});
    f("dtype", dtype, "what activations are computed in", {"auto", "f32", "bf16"});
  }
};

constexpr int64_t most_images = 512;

int64_t parse_number(const std::string& text, const std::string& list) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size() && value >= 0,
        "[reconstruct] got --images '{}', expected numbers such as 0-7 or 0,5,17-20", list);
  return value;
}

std::vector<int64_t> parse_numbers(const std::string& list) {
  std::vector<int64_t> numbers;
  for (const std::string& part : CLI::detail::split(list, ',')) {
    const size_t dash = part.find('-');
    const int64_t first = parse_number(part.substr(0, dash), list);
    const int64_t last = dash == std::string::npos ? first : parse_number(part.substr(dash + 1), list);
    check(first <= last && last - first < most_images, "[reconstruct] got --images '{}', expected up to {} in order",
          list, most_images);
    for (int64_t i = first; i <= last; ++i) numbers.push_back(i);
  }
  return numbers;
}

Image decode_file(const std::string& path, const DecodeOptions& options) {
  const std::string bytes = read_text(path);
  try {
    return decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, options);
  } catch (const Error& error) { fail("[reconstruct] {}: {}", path, error.what()); }
}

std::vector<Image> chosen_images(const ReconstructCommand& o, const Mae& task) {
  const auto side = static_cast<int32_t>(task.image_size * 8 / 7);
  std::vector<Image> images;
  for (const std::string& file : o.files) images.push_back(decode_file(file, {.short_side = side}));
  if (!images.empty()) return images;
  const auto set =
      open_images(o.data.empty() ? task.run.data : o.data, {.split = o.split, .hold_out = true, .decode_size = side});
  fmt::print("{}\n", set->describe());
  for (int64_t i : parse_numbers(o.images)) {
    check(i < set->size(), "[reconstruct] got image {}, expected 0 to {}", i, set->size() - 1);
    images.push_back(set->decode(i));
  }
  return images;
}

// Centre views of images of any sizes, (B, S, S, 3).
Tensor views_of(const std::vector<Image>& images, const Mae& task) {
  std::vector<uint8_t> pixels;
  std::vector<kernels::Frame> frames;
  for (const Image& image : images) {
    frames.push_back({static_cast<int64_t>(pixels.size()), image.height, image.width});
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  const Tensor bytes = Tensor::from(std::span<const uint8_t>(pixels), {static_cast<int64_t>(pixels.size())});
  return evaluation_view(bytes.to(task.run.resolved_device()), frames, task.image_size,
                         normalisation(task.augment.normalise));
}

void run(const ReconstructCommand& o) {
  const std::unique_ptr<Task> any = task_of_run(o.run);
  auto* task = dynamic_cast<Mae*>(any.get());
  check(task, "[reconstruct] {} holds a run of {}, expected one of mae", o.run, any->name());
  task->run.device = o.device;
  task->run.dtype = o.dtype;
  if (o.mask_ratio != 0) task->mask_ratio = o.mask_ratio;
  check(o.mask_seed >= 0, "[reconstruct] got --mask-seed {}, expected 0 or more", o.mask_seed);
  Random random(1);
  task->build(random);
  load_weights(o.run + "/checkpoint.safetensors", *task);
  move_to(*task, task->run.resolved_device());

  const std::vector<Image> images = chosen_images(o, *task);
  check(images.size() <= most_images, "[reconstruct] got {} images, expected up to {}", images.size(), most_images);
  const Reconstructions painted = task->reconstruct(views_of(images, *task), static_cast<uint64_t>(o.mask_seed));
  const MaskedLosses losses = masked_losses(painted);
  const std::string out = o.out.empty() ? o.run + "/reconstructions.png" : o.out;
  write_reconstructions(out, painted, normalisation(task->augment.normalise));
  fmt::print("masked loss {:.4f}; predicting each patch's mean would give {:.4f} ({} images, {:g} % hidden, {})\n",
             losses.model, losses.patch_mean, images.size(), 100 * task->mask_ratio,
             task->norm_pixels ? "normalised patches" : "raw pixels");
  fmt::print("wrote {}; from left to right: input, what the encoder saw, prediction, prediction where hidden\n", out);
}

}  // namespace

void add_reconstruct(CLI::App& app) {
  CLI::App* command = app.add_subcommand("reconstruct", "picture what a masked autoencoder paints");
  const auto options = std::make_shared<ReconstructCommand>();
  command->add_option("run", options->run, "folder of a run of mae, also of one that has not ended")->required();
  command->add_option("files", options->files, "JPEG, PNG or BMP files to show instead of images of a data set");
  set_command(
      *command, [](const ReconstructCommand& o) { run(o); }, options);
}

}  // namespace gestalt::tools
