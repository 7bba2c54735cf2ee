// Every registered method on CUDA, real or emulated: the CPU's losses and weights, captured steps, profiles, full
// memory.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/data/images/image_codec.h"
#include "engine/tensor/allocator.h"
#include "engine/tensor/device_memory.h"
#include "models/export.h"
#include "models/gpt.h"
#include "tasks/evaluation/image_probe.h"
#include "tasks/evaluation/linear.h"
#include "tasks/training/run.h"
#include "tests/devices.h"
#include "tests/engine/tensor/pooled_memory.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"
#if GESTALT_EMULATED
#include "tests/cuda_emulator/emulator.h"
#endif

namespace gestalt::test {
namespace {

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

double worst_loss(const Steps& got, const Steps& expected) {
  REQUIRE(got.losses.size() == expected.losses.size());
  double worst = 0;
  for (size_t i = 0; i < got.losses.size(); ++i)
    worst = std::max(worst, std::abs(got.losses[i] - expected.losses[i]) / std::abs(expected.losses[i]));
  return worst;
}

// Every second method, so that no test case is much longer than the others.
std::vector<std::string> half_of_methods(size_t half) {
  std::vector<std::string> names;
  for (const MethodEntry& entry : list_methods()) names.push_back(entry.name);
  std::vector<std::string> chosen;
  for (size_t i = half; i < names.size(); i += 2) chosen.push_back(names[i]);
  return chosen;
}

void captured_steps_give_the_bits(const std::string& name, bool accumulate) {
  CAPTURE(name);
  const auto run = [&](bool graph) {
    const std::unique_ptr<Method> method = tiniest_method(name, Device::cuda, DType::bf16);
    // Networks that learn in turn do not accumulate.
    if (accumulate && method->networks().size() == 1) method->run.accumulate = 2;
    return train_steps(*method, 4, graph);  // two plain, one captured, one repeated
  };
  const Steps plain = run(false), captured = run(true);
  CHECK(captured.captured);
  CHECK_FALSE(plain.captured);
  CHECK(captured.losses == plain.losses);
  CHECK(same_bits(captured.parts, plain.parts));
}

}  // namespace

TEST_CASE("every method on cuda: losses, weights and statistics are the CPU's" * doctest::skip(without_cuda)) {
  for (const MethodEntry& entry : list_methods()) {
    CAPTURE(entry.name);
    const auto run = [&](Device device) {
      const std::unique_ptr<Method> method = tiniest_method(entry.name, device);
      // AdamW's first steps have one size whatever the gradient's, so they would compare the rounding of gradients of
      // 0.
      method->optimizer.kind = "sgd";
      return train_steps(*method, 4, false);
    };
    const Steps expected = run(Device::cpu), got = run(Device::cuda);
    MESSAGE(entry.name, ": losses differ by ", worst_loss(got, expected), ", parts by ",
            relative_difference(got.parts, expected.parts), ", updates by ",
            relative_difference(got.updates, expected.updates));
    CHECK(worst_loss(got, expected) < 1e-4);
    CHECK(relative_difference(got.parts, expected.parts) < 1e-4);
    CHECK(relative_difference(got.updates, expected.updates) < 1e-3);
  }
}

TEST_CASE("SimCLR on cuda: the first ten losses are the CPU's to 1e-4" * doctest::skip(without_cuda)) {
  const Steps expected = train_steps(*tiniest_method("simclr", Device::cpu), 10, false);
  const Steps got = train_steps(*tiniest_method("simclr", Device::cuda), 10, false);
  MESSAGE("largest relative difference of ten losses: ", worst_loss(got, expected));
  CHECK(got.losses.size() == 10);
  CHECK(worst_loss(got, expected) < 1e-4);
}

TEST_CASE("every method on cuda: captured steps give the bits that steps kernel by kernel give, memory from a pool" *
          doctest::skip(without_cuda)) {
  for (const std::string& name : half_of_methods(0)) {
    const PooledMemory pooled;
    captured_steps_give_the_bits(name, false);
  }
}

TEST_CASE("every method on cuda: captured steps give these bits, two batches an update, each tensor fenced" *
          doctest::skip(without_cuda)) {
  for (const std::string& name : half_of_methods(1)) captured_steps_give_the_bits(name, true);
}

TEST_CASE("Muon on cuda: captured steps give the bits that steps kernel by kernel give" * doctest::skip(without_cuda)) {
  const auto run = [&](bool graph) {
    const std::unique_ptr<Method> method = tiniest_method("gpt", Device::cuda, DType::bf16);
    method->optimizer.kind = "muon";
    return train_steps(*method, 4, graph);
  };
  const Steps plain = run(false), captured = run(true);
  CHECK(captured.captured);
  CHECK(captured.losses == plain.losses);
  CHECK(same_bits(captured.parts, plain.parts));
}

#if GESTALT_EMULATED
TEST_CASE("every method on cuda: the order of threads changes no bit of a step") {
  const emulator::Order before = emulator::order();
  for (const MethodEntry& entry : list_methods()) {
    CAPTURE(entry.name);
    const auto run = [&](emulator::Order order) {
      emulator::set_order(order, 11);
      return train_steps(*tiniest_method(entry.name, Device::cuda, DType::bf16), 2, false);
    };
    const Steps forward = run(emulator::Order::forward);
    CHECK(same_bits(run(emulator::Order::reverse).parts, forward.parts));
    CHECK(same_bits(run(emulator::Order::random).parts, forward.parts));
  }
  emulator::set_order(before);
}

TEST_CASE("a profile of a step on cuda reads like the flow: phases around the kernels that they launch") {
  emulator::record_ranges();
  train_steps(*tiniest_method("simclr", Device::cuda), 1, false);
  const std::vector<std::string> ranges = emulator::recorded_ranges();
  size_t at = 0;
  for (const char* name : {"data", "augment", "Augment", "forward", "Conv", "BatchNorm", "NtXent", "backward",
                           "NtXentBackward", "ConvBackwardWeights", "optimizer", "GradNorm", "SgdStep"}) {
    const auto found = std::find(ranges.begin() + static_cast<int64_t>(at), ranges.end(), name);
    REQUIRE_MESSAGE(found != ranges.end(), "no range ", std::string(name), " after ",
                    at ? ranges[at - 1] : "the beginning");
    at = static_cast<size_t>(found - ranges.begin()) + 1;
  }
}

TEST_CASE(
    "profile steps on cuda: a profiler that waits sees these steps whole, under the method's name, and no others") {
  const TemporaryFolder folder;
  emulator::record_ranges();
  const std::unique_ptr<Method> method = tiniest_method("simclr", Device::cuda);
  pretrain(*method, {.out = folder / "run", .quiet = true, .profile = {3, 4}});
  const std::vector<std::string> ranges = emulator::recorded_ranges();
  const auto start = std::find(ranges.begin(), ranges.end(), "cudaProfilerStart");
  const auto stop = std::find(ranges.begin(), ranges.end(), "cudaProfilerStop");
  REQUIRE(start < stop);
  REQUIRE(stop < ranges.end());
  CHECK(std::count(ranges.begin(), start, "simclr") == 2);
  CHECK(std::count(start, stop, "simclr") == 2);
  CHECK(std::count(start, stop, "optimizer") == 2);
  CHECK(std::count(stop, ranges.end(), "simclr") == method->run.steps - 4);
  CHECK(std::count(ranges.begin(), ranges.end(), "cudaProfilerStart") == 1);
}

TEST_CASE("out of memory on cuda: the message says what asked for how much, what is in use and what to change") {
  release_cached(Device::cuda);  // what other tests left would be room
  synchronize(Device::cuda);
  emulator::set_memory_limit(emulator::counters().bytes_in_use + (size_t{2} << 20));
  std::string message;
  try {
    const std::unique_ptr<Method> method = tiniest_method("simclr", Device::cuda);
    method->run.batch = 32;
    train_steps(*method, 2, false);
  } catch (const Error& e) { message = e.what(); }
  emulator::set_memory_limit(size_t{16} << 30);
  for (const char* part : {"[memory] cuda has no room for a tensor", "f32 (", "MiB", "are in use", "last kernel was",
                           "--batch", "--accumulate", "--dtype bf16"})
    CHECK_MESSAGE(message.find(part) != std::string::npos, "'", part, "' is not in: ", message);
  CHECK(train_steps(*tiniest_method("simclr", Device::cuda), 1, false).losses.size() == 1);
}
#endif

TEST_CASE("streamed images of several sizes on cuda: uploads change nothing" * doctest::skip(without_cuda)) {
  const TemporaryFolder folder;
  for (int i = 0; i < 24; ++i) {
    const int32_t height = 18 + i % 5, width = 30 - i % 7;
    std::vector<uint8_t> pixels(static_cast<size_t>(height * width * 3));
    for (size_t p = 0; p < pixels.size(); ++p) pixels[p] = static_cast<uint8_t>(p * (i + 3) / 7);
    write_png(folder / fmt::format("{:02}.png", i), pixels.data(), height, width);
  }
  const auto run = [&](Device device, bool graph) {
    const std::unique_ptr<Method> method = tiniest_method("simclr", device);
    method->run.data = "images:" + folder.path();
    return train_steps(*method, 4, graph);  // two plain, one captured, one repeated
  };
  const Steps expected = run(Device::cpu, false), got = run(Device::cuda, true);
  CHECK(worst_loss(got, expected) < 1e-4);
}

TEST_CASE("a whole run on cuda: features, probes and the encoder's file are the CPU's" * doctest::skip(without_cuda)) {
  const TemporaryFolder folder;
  std::vector<std::vector<float>> features;
  for (Device device : devices()) {
    const std::unique_ptr<Method> made = make_method("simclr");
    auto& method = dynamic_cast<ImageMethod&>(*made);
    set_fields(method, "test",
               "data = shapes:64\nbatch = 8\nsteps = 3\ndtype = f32\nsize = 16\nmodel = resnet10\nwidth = 4\n"
               "head-hidden = 32\nhead-out = 32\nknn-k = 5");
    method.run.device = name(device);
    const PretrainResult result = pretrain(method, {.out = folder / std::string(name(device)), .quiet = true});
    const Features train = extract_features(method.encoder(), method.images().train, view_options(method));
    const Features test = extract_features(method.encoder(), method.images().test, view_options(method));
    CHECK(train.features.device() == device);
    CHECK(result.metrics.at(0).value == knn_accuracy(train, test, 12, {.k = 5}));
    const double linear = linear_accuracy(train, train, 12, {.epochs = 4}, device);
    CHECK(std::abs(linear - linear_accuracy(train, train, 12, {.epochs = 4})) < 4);  // two images of 64
    const LoadedEncoder loaded = load_encoder(result.encoder_file);
    features.push_back(extract_features(*loaded.encoder, method.images().train, {.size = 16}).features.values());
  }
  CHECK(relative_difference(features[1], features[0]) < 1e-3);
}

TEST_CASE("generation on cuda draws the CPU's tokens, or where two draws nearly tie another" *
          doctest::skip(without_cuda)) {
  const std::vector<int32_t> prompt{3, 14, 15};
  const SamplingOptions options{.seed = 5};
  const auto model_on = [](Device device) {
    Random random(3);
    auto model = std::make_unique<Gpt>(GptOptions{.layers = 2, .heads = 2, .width = 32, .context = 32}, 53, random);
    move_to(*model, device);
    return model;
  };
  const std::unique_ptr<Gpt> here = model_on(Device::cpu), there = model_on(Device::cuda);
  const std::vector<int32_t> expected = generate(*here, prompt, 20, options, DType::f32);
  const std::vector<int32_t> drawn = generate(*there, prompt, 20, options, DType::f32);
  REQUIRE(drawn.size() == expected.size());
  const size_t same = std::mismatch(drawn.begin(), drawn.end(), expected.begin()).first - drawn.begin();
  if (same == drawn.size()) return;
  // What comes after is another text.
  std::vector<int32_t> before = prompt;
  before.insert(before.end(), drawn.begin(), drawn.begin() + static_cast<int64_t>(same));
  std::vector<KeyValueCache> caches = here->make_caches(1, DType::f32);
  std::vector<float> logits =
      here->extend(Tensor::from(std::span<const int32_t>(before), {1, static_cast<int64_t>(before.size())}), caches)
          .values();
  CHECK(sample(logits, options, same) == expected[same]);
  logits[static_cast<size_t>(drawn[same])] += 1e-4F;
  logits[static_cast<size_t>(expected[same])] -= 1e-4F;
  CHECK(sample(logits, options, same) == drawn[same]);
}

}  // namespace gestalt::test
