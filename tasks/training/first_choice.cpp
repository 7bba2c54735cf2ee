// A table of data and machines, and how many passes over the data an hour has room for.
#include "tasks/training/first_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <fstream>
#include <thread>
#include <vector>

#include "engine/data/images/image_set.h"
#include "engine/data/text/token_sets.h"
#include "engine/tensor/device_memory.h"
#include "kernels/check.h"
#include "kernels/cpu/bf16.h"

namespace gestalt {
namespace {

// What is trained on images whose shorter sides are no longer than `short_side`. Costs are of a view's forward pass, in
// millions of multiplications; training an image on two views takes six times that.
struct ImageRow {
  Device device;
  int64_t cores;       // at least
  int64_t short_side;  // at most
  int64_t size;        // of the views
  const char* model;
  int64_t width;
  double cost;
};
constexpr int64_t any_side = INT64_MAX;
// The first row that fits. Up to 64 pixels a ResNet has the CIFAR stem.
constexpr ImageRow image_rows[] = {
    {Device::cuda, 0, 40, 32, "resnet18", 64, 560},         {Device::cuda, 0, 96, 64, "resnet18", 64, 2240},
    {Device::cuda, 0, any_side, 224, "resnet50", 64, 4100}, {Device::cpu, 0, 40, 32, "resnet18", 16, 35},
    {Device::cpu, 0, 72, 48, "resnet18", 16, 79},           {Device::cpu, 16, any_side, 128, "resnet18", 64, 590},
    {Device::cpu, 0, any_side, 96, "resnet18", 32, 83},
};

// Multiplications a second of training: what a core with bf16 instructions does by the records under bench/results, a
// third of it for one without, and a guess for a GPU.
double speed(const MachineFacts& machine) {
  if (machine.device == Device::cuda) return 3e13;
  return static_cast<double>(machine.cores) * (machine.fast_bf16 ? 6e10 : 2e10);
}

constexpr double seconds_of_a_run = 45 * 60;  // leaves some of the hour for decoding, probes and a busy machine
constexpr int64_t most_epochs = 800;          // few images are learned by heart

const ImageRow& image_row(const DataFacts& data, const MachineFacts& machine) {
  return *std::find_if(std::begin(image_rows), std::end(image_rows), [&](const ImageRow& row) {
    return row.device == machine.device && machine.cores >= row.cores && data.short_side <= row.short_side;
  });
}

// A power of two, of few images no more than half of them, so that a pass is more than one step.
int64_t batch_of(int64_t images, const ImageRow& row, const MachineFacts& machine) {
  const bool roomy = machine.device == Device::cuda && machine.memory > (int64_t{40} << 30);
  const int64_t most = row.device == Device::cuda && row.size < 200 ? 512
                       : row.device == Device::cuda && !roomy       ? 128
                                                                    : 256;
  if (images < 16) return std::max<int64_t>(2, images);
  return std::min(most, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(images / 2))));
}

// What is no larger than `most` and than what is in the data, where that is small, and a size that the encoder takes.
int64_t view_size(const Learner& learner, int64_t short_side, int64_t most) {
  const int64_t size = std::clamp<int64_t>(short_side, 8, most);
  if (learner.model == "dcgan") return std::max<int64_t>(16, std::bit_floor(static_cast<uint64_t>(size)));
  if (!learner.model.starts_with("vit")) return size;
  const int64_t patch = learner.patch > 0 ? learner.patch : size <= 64 ? 4 : 16;
  return std::max<int64_t>(1, size / patch) * patch;
}

FirstChoice choose_for_images(const Learner& learner, const DataFacts& data, const MachineFacts& machine) {
  check(data.images >= 2, "[choose] got {} images, expected 2 or more", data.images);
  const ImageRow& row = image_row(data, machine);
  const int64_t batch = batch_of(data.images, row, machine);
  const double room = seconds_of_a_run * speed(machine) / (6e6 * row.cost);  // images that an hour has room for
  const double passes = room / static_cast<double>(data.images);
  const int64_t epochs = std::clamp<int64_t>(std::llround(std::floor(passes)), 1, most_epochs);
  const int64_t size = view_size(learner, data.short_side, row.size);
  FirstChoice choice;
  choice.fields = fmt::format("size = {}\nbatch = {}\n", size, batch);
  if (passes < 1)
    choice.fields += fmt::format("steps = {}\n", std::max<int64_t>(1, static_cast<int64_t>(room) / batch));
  else
    choice.fields += fmt::format("epochs = {}\nprobe-every = {}\n", epochs, std::max<int64_t>(1, epochs / 10));
  if (learner.model.starts_with("resnet") && !learner.model_is_given)
    choice.fields += fmt::format("model = {}\nwidth = {}\n", row.model, row.width);
  if (learner.method == default_image_method)  // as in bench/results/methods-cpu.md
    choice.fields += fmt::format(
        "optimizer = adamw\nlr = 2e-3\nweight-decay = 1e-4\nwarmup-epochs = {}\ntemperature = 0.2\ncrop-min = 0.2\n"
        "head-hidden = {}\n",
        passes < 1 ? 0 : std::min<int64_t>(10, std::max<int64_t>(1, epochs / 20)),
        machine.device == Device::cuda ? 2048 : 512);
  choice.reason = fmt::format("{} images, the median's shorter side {} pixels", data.images, data.short_side);
  return choice;
}

// nanoGPT's two shapes for a small text: the larger one for a GPU or many cores.
FirstChoice choose_for_text(const Learner& learner, const DataFacts& data, const MachineFacts& machine) {
  FirstChoice choice;
  choice.reason = fmt::format("{:.3g} MB of text", static_cast<double>(data.bytes) * 1e-6);
  if (learner.method != default_text_method) return choice;
  const bool large = machine.device == Device::cuda || machine.cores >= 32;
  const int64_t batch = large ? 64 : 12;
  // Twenty passes over the text, within bounds that two cores keep in an hour.
  const int64_t context = std::min<int64_t>(large ? 256 : 64, std::max<int64_t>(1, data.bytes / 20));
  const int64_t steps = std::clamp<int64_t>(20 * data.bytes / (batch * context), 500, large ? 5000 : 15'000);
  choice.fields = fmt::format(
      "layers = {}\nheads = {}\nwidth = {}\ncontext = {}\ndropout = {}\nbatch = {}\nsteps = {}\nlr = 1e-3\n"
      "beta2 = 0.99\nwarmup-steps = 100\ntokenizer = {}\n",
      large ? 6 : 4, large ? 6 : 4, large ? 384 : 128, context, large ? 0.2 : 0.0, batch, steps,
      data.bytes > (int64_t{64} << 20) ? "byte" : "character");
  return choice;
}

// Of all its images, by eight of them.
double seconds_to_decode(const ImageSet& set) {
  const auto begin = std::chrono::steady_clock::now();
  const int64_t count = std::min<int64_t>(8, set.size());
  for (int64_t i = 0; i < count; ++i) {
    try {
      set.decode(i * set.size() / count);
    } catch (const DamagedImage&) {}
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return seconds / static_cast<double>(count) * static_cast<double>(set.size());
}

int64_t installed_memory() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  return file >> key >> kib ? kib << 10 : 0;
}

}  // namespace

std::string decoding_text(const DataFacts& data, int64_t cores) {
  constexpr int64_t most_in_memory = 50'000;  // more are decoded while a run goes on
  const double seconds = data.decode_seconds / static_cast<double>(std::max<int64_t>(1, cores));
  if (seconds < 10 || data.images > most_in_memory) return "";
  return fmt::format("decoding {} images first takes about {}", data.images,
                     seconds < 90 ? fmt::format("{:.0f} s", seconds) : fmt::format("{:.0f} minutes", seconds / 60));
}

std::string default_method(const std::string& data) {
  if (names_text(data)) return default_text_method;
  if (!names_images(data)) open_images(data, {});  // says what is wrong with it
  return default_image_method;
}

DataFacts look_at_data(const std::string& data, bool unlabelled) {
  if (names_text(data)) return {.modality = Modality::text, .bytes = approximate_bytes(data)};
  const bool made_up = data.starts_with("shapes");
  OpenOptions options{.split = "pretrain", .hold_out = true, .unlabelled = unlabelled, .damage_limit = 1};
  if (!made_up) options.resident_bytes = 0, options.decode_size = 128;
  const std::shared_ptr<ImageSet> set = open_images(data, options);
  std::vector<int64_t> sides;
  bool square = true;
  for (int64_t i = 0; i < set->size(); i += std::max<int64_t>(1, set->size() / 64)) {
    const ImageSize size = set->stored_size(i);
    if (size.height == 0) continue;
    sides.push_back(std::min(size.height, size.width));
    square = square && size.height == size.width && sides.back() == sides.front();
  }
  const double decode_seconds = names_image_files(data) ? seconds_to_decode(*set) : 0;
  check(sides.size() >= 2, "[choose] {} has {}, expected 2 or more; {}", data,
        sides.empty() ? "no image that can be read" : "one image", set->damage().text());
  std::nth_element(sides.begin(), sides.begin() + std::ssize(sides) / 2, sides.end());
  return {.modality = Modality::images,
          .images = set->size(),
          .short_side = sides[sides.size() / 2],
          .one_size = square,
          .decode_seconds = decode_seconds};
}

MachineFacts look_at_machine(Device device, int64_t threads) {
  const int64_t cores = threads > 0 ? threads : std::max<int64_t>(1, std::thread::hardware_concurrency());
  return {.device = device,
          .cores = cores,
          .fast_bf16 = kernels::cpu::multiplies_bf16(),
          .memory = device == Device::cuda ? static_cast<int64_t>(device_room().total) : installed_memory()};
}

FirstChoice choose(const Learner& learner, const DataFacts& data, const MachineFacts& machine) {
  FirstChoice choice = data.modality == Modality::text ? choose_for_text(learner, data, machine)
                                                       : choose_for_images(learner, data, machine);
  choice.reason += machine.device == Device::cuda
                       ? " on cuda"
                       : fmt::format(" on {} core{}", machine.cores, machine.cores == 1 ? "" : "s");
  return choice;
}

}  // namespace gestalt
