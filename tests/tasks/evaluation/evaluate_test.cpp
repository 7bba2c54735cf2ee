// Evaluation protocols on features whose answer is known, encoder files, and how runs fail.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/data/images/image_codec.h"
#include "engine/ops/pointwise.h"
#include "engine/tensor/allocator.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/safetensors.h"
#include "models/export.h"
#include "tasks/evaluation/evaluate.h"
#include "tasks/simclr.h"
#include "tasks/training/pretrain.h"
#include "tests/golden_step.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

// `count` points of three classes in 8 dimensions: a unit vector a class times `signal`, plus noise.
Features clusters(int64_t count, double signal, const std::string& seed) {
  std::vector<double> values = hash_uniform(seed, count * 8);
  Features f{{}, std::vector<int32_t>(static_cast<size_t>(count))};
  for (int64_t i = 0; i < count; ++i) {
    f.labels[i] = static_cast<int32_t>(i % 3);
    values[i * 8 + i % 3] += signal;
  }
  f.features = Tensor::from(values, {count, 8}).to(DType::f32);
  return f;
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "";
}

}  // namespace

TEST_CASE("probes: separable features are classified, features without a signal are not") {
  const Features train = clusters(600, 2, "train"), test = clusters(300, 2, "test");
  CHECK(knn_accuracy(train, test, 3, {.k = 20}) > 99);
  CHECK(linear_accuracy(train, test, 3, {.epochs = 20}) > 99);
  const Features noise = clusters(600, 0, "train"), other = clusters(300, 0, "test");
  CHECK(std::abs(knn_accuracy(noise, other, 3, {.k = 20}) - 33.3) < 12);
  CHECK(std::abs(linear_accuracy(noise, other, 3, {.epochs = 20}) - 33.3) < 12);
  CHECK(linear_accuracy(train, test, 3, {.epochs = 5}) == linear_accuracy(train, test, 3, {.epochs = 5}));
}

TEST_CASE("probes: k larger than the bank is cut to it, labels must be there") {
  Features train = clusters(30, 2, "train"), test = clusters(30, 2, "test");
  CHECK(knn_accuracy(train, test, 3, {.k = 1000}) > 80);
  train.labels.clear();
  CHECK(message_of([&] { knn_accuracy(train, test, 3, {}); }).find("labels") != std::string::npos);
  CHECK(message_of([&] { linear_accuracy(train, test, 3, {}); }).find("labels") != std::string::npos);
}

TEST_CASE("encoder files: saved and loaded features are equal; names and layouts are torchvision's") {
  const TemporaryFolder folder;
  const std::string path = folder / "encoder.safetensors";
  Random random(3);
  for (const char* model : {"resnet10", "resnet50"}) {
    CAPTURE(model);
    const EncoderOptions options{.model = model, .width = 8};
    const auto encoder = make_encoder(options, 32, random);
    save_encoder(path, *encoder, {options, 32, {{"gestalt.normalise", "cifar10"}}});
    const LoadedEncoder loaded = load_encoder(path);
    CHECK(loaded.info.image_size == 32);
    CHECK(loaded.info.notes.at("gestalt.normalise") == "cifar10");
    const Tensor images = random.uniform({2, 32, 32, 3}, 0, 1);
    CHECK(encoder->forward(images, false).values() == loaded.encoder->forward(images, false).values());
  }
  const SafetensorsFile file = read_safetensors(path);
  CHECK(file.at("conv1.weight").shape() == Shape{8, 3, 3, 3});
  CHECK(file.at("layer1.0.downsample.0.weight").shape() == Shape{32, 8, 1, 1});
  CHECK(file.at("layer4.2.bn3.running_var").shape() == Shape{256});
  CHECK(file.at("bn1.num_batches_tracked").shape() == Shape{});
  CHECK(file.metadata.at("format") == "pt");
}

TEST_CASE("encoder files: damage and strangers are named") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  write_safetensors(path, {{"a", Tensor::zeros({2})}});
  CHECK(message_of([&] { load_encoder(path); }).find(path) != std::string::npos);
  Random random(3);
  const auto encoder = make_encoder({.model = "resnet10", .width = 8}, 32, random);
  save_encoder(path, *encoder, {{.model = "resnet10", .width = 16}, 32, {}});
  CHECK(message_of([&] { load_encoder(path); }).find("conv1.weight") != std::string::npos);
  CHECK(message_of([&] { make_encoder({.model = "resnet81"}, 32, random); }).find("resnet") != std::string::npos);
}

TEST_CASE("finite check: the first op that gives a NaN is named") {
  set_finite_check(true);
  const Tensor x = Tensor::full({3}, 2).require_grad();
  const std::string forward = message_of([&] { sum(scale(scale(x, 3), INFINITY)); });
  CHECK(forward.find("[scale]") == 0);
  const std::string backward = message_of([&] { sum(scale(x, 1e30)).backward(Tensor::full({1}, 1e30)); });
  CHECK(backward.find("[scale backward]") == 0);
  set_finite_check(false);
}

TEST_CASE("pretraining: unlabelled photographs of several sizes, with damaged files among them") {
  const TemporaryFolder folder;
  for (int i = 0; i < 40; ++i) {
    const int32_t height = 24 + i % 5, width = 40 - i % 7;
    std::vector<uint8_t> pixels(static_cast<size_t>(height * width * 3));
    for (size_t p = 0; p < pixels.size(); ++p) pixels[p] = static_cast<uint8_t>(p * (i + 3));
    write_png(folder / fmt::format("{:02}.png", i), pixels.data(), height, width);
  }
  std::ofstream(folder / "broken.jpg") << "no image at all";
  Simclr task;
  task.run = {.data = "images:" + folder.path(), .batch = 16, .epochs = 1};
  task.model = {.model = "resnet10", .width = 8};
  const PretrainSettings settings{.out = folder / "run", .quiet = true};
  CHECK(message_of([&] { pretrain(task, settings); }).find("--size") != std::string::npos);
  std::filesystem::remove_all(folder / "run");
  task.image_size = 24;
  const PretrainResult result = pretrain(task, settings);
  CHECK(result.steps == 2);
  CHECK(result.metrics.empty());
  CHECK(std::filesystem::exists(result.encoder_file));
  CHECK(task.images()->damage().damaged.size() == 1);
}

TEST_CASE("pretraining: nothing is overwritten, and what cannot be resumed is said") {
  const TemporaryFolder folder;
  const auto tiny = [] {
    auto task = std::make_unique<Simclr>();
    apply_preset(*task, find_task("simclr"), "tiny");
    task->run.epochs = 1;
    return task;
  };
  pretrain(*tiny(), {.out = folder / "run", .quiet = true});
  CHECK(message_of([&] { pretrain(*tiny(), {.out = folder / "run", .quiet = true}); }).find("--resume") !=
        std::string::npos);
  CHECK(message_of([&] { task_of_run(folder / "nothing"); }).find("nothing") != std::string::npos);
  auto large = tiny();
  large->run.batch = 1000;
  CHECK(message_of([&] { pretrain(*large, {.out = folder / "b", .quiet = true}); }).find("--batch") !=
        std::string::npos);
  CHECK(message_of([&] { find_task("simlcr"); }).find("simclr") != std::string::npos);
}

TEST_CASE("a training step asks the system for no memory once the first ones are done") {
  Simclr task;
  apply_preset(task, find_task("simclr"), "tiny");
  const auto feed = task.open();
  Random random(1);
  task.build(random);
  ParameterArena arena(task, Device::cpu, DType::f32);
  Optimizer optimizer(arena, task.optimizer);
  PhaseClock clock(phase_names);
  uint64_t calls = 0;
  for (int64_t step = 0; step < 10; ++step) {
    task.loss(feed->at(step, clock), {step, 10}).loss.backward();
    optimizer.step(0.01, task.optimizer.decay);
    if (step == 3) calls = allocator_stats(Device::cpu).system_calls;
  }
  CHECK(allocator_stats(Device::cpu).system_calls == calls);
}

}  // namespace gestalt::test
