// `gestalt show`: a picture of what a run has learned, or of what its encoder is shown.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "engine/data/images/image_codec.h"
#include "engine/run/csv.h"
#include "engine/run/files.h"
#include "tasks/training/image_method.h"
#include "tasks/training/run.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace gestalt::tools {
namespace {

struct ShowCommand {
  std::string run, data, images, split, out, device = "auto", dtype = "auto";
  std::vector<std::string> files;
  int64_t draw = 0;
  bool views = false;

  void fields(Fields& f) {
    f("data", data, "where images come from if no FILE is given; empty: the run's own data");
    f("split", split, "which of them; empty: test, or train where none is held out", {"", "test", "train"});
    f("images", images, "their numbers, for example 3 or 0-7 or 0,5,17-20; empty: the first 8");
    f("draw", draw, "another number draws anew: other hidden patches, other views", between(0, 1e9));
    f("views", views, "show the views that the encoder is trained on, also of a method with a picture of its own");
    f("out", out, "the PNG to write; empty: picture.png in the run folder");
    f("device", device, "auto, cpu or cuda", {"auto", "cpu", "cuda"});
    f("dtype", dtype, "what activations are computed in", {"auto", "f32", "bf16"});
  }
};

constexpr int64_t most_images = 512;

int64_t parse_number(const std::string& text, const std::string& list) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size() && value >= 0,
        "[show] got --images '{}', expected numbers such as 0-7 or 0,5,17-20", list);
  return value;
}

std::vector<int64_t> parse_numbers(const std::string& list) {
  std::vector<int64_t> numbers;
  for (const std::string& part : split(list, ',')) {
    const size_t dash = part.find('-');
    const int64_t first = parse_number(part.substr(0, dash), list);
    const int64_t last = dash == std::string::npos ? first : parse_number(part.substr(dash + 1), list);
    check(first <= last && last - first < most_images, "[show] got --images '{}', expected up to {} in order", list,
          most_images);
    for (int64_t i = first; i <= last; ++i) numbers.push_back(i);
  }
  return numbers;
}

Image decode_file(const std::string& path, const DecodeOptions& options) {
  const std::string bytes = read_text(path);
  try {
    return decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, options);
  } catch (const Error& error) { fail("[show] {}: {}", path, error.what()); }
}

std::shared_ptr<ImageSet> open_set(const ShowCommand& o, const ImageMethod& method, int32_t side) {
  const std::string& data = o.data.empty() ? method.run.data : o.data;
  if (o.split.empty())
    if (auto test = open_test(data, {.hold_out = true, .decode_size = side})) return test;
  return open_images(data, {.split = o.split.empty() ? "train" : o.split, .hold_out = true, .decode_size = side});
}

// Images of any sizes one after another, as a loader gives them.
ImageBatch chosen_images(const ShowCommand& o, const ImageMethod& method) {
  const int32_t side = decode_size(method.image_size);
  std::vector<Image> images;
  for (const std::string& file : o.files) images.push_back(decode_file(file, {.short_side = side}));
  if (images.empty()) {
    const auto set = open_set(o, method, side);
    fmt::print("{}\n", set->describe());
    for (int64_t i :
         parse_numbers(o.images.empty() ? fmt::format("0-{}", std::min<int64_t>(8, set->size()) - 1) : o.images)) {
      check(i < set->size(), "[show] got image {}, expected 0 to {}", i, set->size() - 1);
      images.push_back(set->decode(i));
    }
  }
  check(images.size() <= most_images, "[show] got {} images, expected up to {}", images.size(), most_images);
  ImageBatch batch;
  std::vector<uint8_t> pixels;
  for (const Image& image : images) {
    batch.samples.push_back(static_cast<int32_t>(batch.frames.size()));
    batch.frames.push_back({static_cast<int64_t>(pixels.size()), image.height, image.width});
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  batch.pixels = Tensor::from(std::span<const uint8_t>(pixels), {static_cast<int64_t>(pixels.size())});
  return batch;
}

void run(const ShowCommand& given) {
  ShowCommand o = given;
  for (std::string* place : {&o.run, &o.data, &o.out}) *place = expand_home(*place);
  check(o.draw >= 0, "[show] got --draw {}, expected 0 or more", o.draw);
  const std::unique_ptr<Method> any = method_of_run(o.run);
  auto* method = dynamic_cast<ImageMethod*>(any.get());
  check(method, "[show] {} holds a run of {}, which has no pictures; a GPT continues text with 'gestalt generate {}'",
        o.run, any->name(), o.run);
  method->run.device = o.device;
  method->run.dtype = o.dtype;
  load_run(o.run, *method);
  const ImageBatch images = chosen_images(o, *method);
  const auto draw = static_cast<uint64_t>(o.draw);
  std::optional<Picture> picture;
  if (!o.views)
    picture = method->picture(evaluation_view(images.pixels.to(method->run.resolved_device()), images.frames,
                                              method->image_size, normalisation(method->augment.normalise)),
                              draw);
  if (!picture) picture = draw_views(*method, images, draw);
  const std::string out = o.out.empty() ? o.run + "/picture.png" : o.out;
  write_picture(out, *picture);
  fmt::print("{}\nwrote {}\n", picture->caption, out);
}

}  // namespace

void add_show(Command program) {
  const Command command = program.add("show", "picture what a run has learned, or what its encoder is shown");
  const auto options = std::make_shared<ShowCommand>();
  command.argument("run", options->run, "folder of a run on images, also of one that has not ended");
  command.arguments("files", options->files, "JPEG, PNG or BMP files to show instead of images of a data set");
  set_command(
      command, [](const ShowCommand& o) { run(o); }, options);
}

}  // namespace gestalt::tools
