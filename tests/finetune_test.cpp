// Fine-tuning: which labels are kept, layer-wise rates, and that training with labels works and repeats itself.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "engine/data/subset.h"
#include "models/vit.h"
#include "engine/data/image_codec.h"
#include "tasks/finetune.h"
#include "tests/golden_step.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

constexpr const char* data = "shapes:256:16";

std::unique_ptr<Encoder> make_vit(uint64_t seed) {
  Random random(seed);
  return make_encoder({.model = "vit-nano", .patch = 8}, 16, random);
}

std::shared_ptr<ImageSet> open_split(const char* split) {
  return open_images(data, {.split = split, .hold_out = true});
}

}  // namespace

TEST_CASE("few labels: the asked share of every class, nested, at least one image") {
  std::vector<int32_t> labels;
  for (int i = 0; i < 1000; ++i) labels.push_back(i % 10 == 0 ? 2 : i % 2);  // 500 - 100 even, 500 odd, 100 of class 2
  const std::vector<int32_t> tenth = few_labels(labels, 0.1), hundredth = few_labels(labels, 0.01);
  std::map<int32_t, int> count;
  for (int32_t i : tenth) ++count[labels[i]];
  CHECK(count == std::map<int32_t, int>{{0, 40}, {1, 50}, {2, 10}});
  CHECK(hundredth.size() == 4 + 5 + 1);
  CHECK(std::includes(tenth.begin(), tenth.end(), hundredth.begin(), hundredth.end()));
  CHECK(few_labels(labels, 1).size() == labels.size());
  CHECK(few_labels(labels, 1e-6).size() == 3);
  CHECK_THROWS_AS(few_labels(labels, 0), Error);
  CHECK_THROWS_AS(few_labels({}, 0.1), Error);
  // Not the first images, nor evenly spaced ones.
  std::set<int32_t> gaps;
  for (size_t i = 1; i < tenth.size(); ++i) gaps.insert(tenth[i] - tenth[i - 1]);
  CHECK(gaps.size() > 5);
  CHECK(tenth.back() > 900);
}

TEST_CASE("a subset of images has their pixels and labels") {
  const auto whole = open_split("train");
  const auto some = subset(whole, {5, 2, 9});
  CHECK(some->size() == 3);
  CHECK(some->class_names() == whole->class_names());
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t from = std::vector<int64_t>{5, 2, 9}[i];
    CHECK(some->labels()[i] == whole->labels()[from]);
    CHECK(some->frames()[i].offset == whole->frames()[from].offset);
    CHECK(some->decode(i).pixels == whole->decode(from).pixels);
  }
  CHECK_THROWS_AS(subset(whole, {1 << 30}), Error);
}

TEST_CASE("layer-wise rates: nothing decays above the blocks, the patch embedding most") {
  Random random(1);
  VisionTransformer vit({"", "", 32, 3, 2}, 16, 4, false, random);
  CHECK(vit.layers() - vit.layer_of("norm.weight") == 0);
  CHECK(vit.layers() - vit.layer_of("blocks.2.mlp.fc1.weight") == 1);
  CHECK(vit.layers() - vit.layer_of("blocks.0.norm1.bias") == 3);
  CHECK(vit.layers() - vit.layer_of("patch_embed.proj.weight") == 4);
  CHECK(vit.layers() - vit.layer_of("cls_token") == 4);
  ParameterArena arena(vit, Device::cpu, DType::f32);
  arena.scale_rates([](const std::string& part) { return part.starts_with("norm") ? 0.25 : 0.0; });
  arena.grads.fill(1);
  const std::vector<float> before = arena.weights.values();
  Optimizer(arena, {.kind = "sgd", .momentum = 0, .decay = 0}).step(0.5);
  const std::vector<float> after = arena.weights.values();
  for (size_t s = 0; s < arena.layout.size(); ++s)
    for (int64_t i = arena.layout[s].begin; i < arena.layout[s].end; ++i)
      CHECK(before[i] - after[i] == doctest::Approx(arena.names[s].starts_with("norm") ? 0.125 : 0.0));
}

TEST_CASE("fine-tuning learns, repeats itself, and a tiny layer decay leaves the first layers as they were") {
  // Two classes that differ in their brightness, under noise.
  const TemporaryFolder folder;
  for (int i = 0; i < 200; ++i) {
    std::filesystem::create_directories(folder / std::to_string(i % 2));
    std::vector<uint8_t> pixels(16 * 16 * 3);
    const std::vector<double> noise = hash_uniform(std::to_string(i), 16 * 16 * 3);
    for (size_t p = 0; p < pixels.size(); ++p) pixels[p] = static_cast<uint8_t>(128 + 120 * noise[p] + (i % 2 ? 30 : -30));
    write_png(folder / fmt::format("{}/{:03}.png", i % 2, i), pixels.data(), 16, 16);
  }
  const auto open = [&](const char* split) { return open_images("images:" + folder.path(), {.split = split, .hold_out = true}); };
  const auto train = open("train"), test = open("test");
  const ViewOptions view{.size = 16, .batch = 64};
  FinetuneOptions options;
  options.epochs = 12;
  options.batch = 32;
  options.crop_min = 0.8;
  options.optimizer.rate = 8e-3;
  options.optimizer.warmup_epochs = 1;
  const auto run = [&](const FinetuneOptions& o, uint64_t seed) {
    std::unique_ptr<Encoder> vit = make_vit(seed);
    double last = 0;
    const double accuracy = finetune_accuracy(*vit, train, test, view, o, [&](int64_t, double loss) { last = loss; });
    return std::make_tuple(accuracy, last, parts(*vit));
  };
  const auto [accuracy, loss, trained] = run(options, 1);
  const auto [again, loss_again, ignored] = run(options, 1);
  CHECK(accuracy > 90);
  CHECK(again == accuracy);
  CHECK(loss_again == loss);

  FinetuneOptions frozen = options;
  frozen.epochs = 1;
  frozen.layer_decay = 1e-4;
  frozen.labels = 0.5;
  const auto fresh = make_vit(1);
  const auto [unused, unused_loss, moved] = run(frozen, 1);
  const std::vector<NamedPart> first = parts(*fresh);
  for (size_t i = 0; i < first.size(); ++i) {
    const bool same = first[i].tensor.values() == moved[i].tensor.values();
    if (first[i].name == "norm.weight") CHECK_FALSE(same);
    if (first[i].name == "patch_embed.proj.weight") CHECK(same);
  }
}

}  // namespace gestalt::test
