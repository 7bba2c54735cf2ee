// Fine-tuning: which labels are kept, layer-wise rates, and that training with labels works and repeats itself.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "engine/data/images/image_codec.h"
#include "engine/data/images/subset.h"
#include "engine/run/files.h"
#include "tasks/evaluation/finetune.h"
#include "tasks/evaluation/linear.h"
#include "tests/golden_step.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

constexpr const char* shapes = "shapes:256:16";

std::unique_ptr<Encoder> make_vit(uint64_t seed) {
  Random random(seed);
  return make_encoder({.model = "vit-nano", .vit = {.patch = 8}}, 16, random);
}

// Two classes of 100 images that differ in their brightness, under noise; every tenth is in the test split.
struct BrightAndDark {
  TemporaryFolder folder;
  std::shared_ptr<ImageSet> train, test;
  ViewOptions view{.size = 16, .batch = 64};

  BrightAndDark() {
    for (int i = 0; i < 200; ++i) {
      std::filesystem::create_directories(folder / std::to_string(i % 2));
      std::vector<uint8_t> pixels(16 * 16 * 3);
      const std::vector<double> noise = hash_uniform(std::to_string(i), 16 * 16 * 3);
      for (size_t p = 0; p < pixels.size(); ++p)
        pixels[p] = static_cast<uint8_t>(128 + 120 * noise[p] + (i % 2 ? 30 : -30));
      write_png(folder / fmt::format("{}/{:03}.png", i % 2, i), pixels.data(), 16, 16);
    }
    train = open_images("images:" + folder.path(), {.split = "train", .hold_out = true});
    test = open_images("images:" + folder.path(), {.split = "test", .hold_out = true});
  }
};

std::shared_ptr<ImageSet> open_split(const char* split) {
  return open_images(shapes, {.split = split, .hold_out = true});
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

TEST_CASE("few labels: the same images for everyone, whatever the machine or the seed") {
  std::vector<int32_t> labels;
  for (int i = 0; i < 2000; ++i) labels.push_back(i * i % 7 % 5);
  const Json golden = golden_record("few_labels.json");
  for (const char* share : {"0.01", "0.1"})
    CHECK(few_labels(labels, std::stod(share)) == golden.at(share).get<std::vector<int32_t>>());
}

TEST_CASE("layer-wise rates: every parameter of a ViT has the factor of MAE's and BEiT's formula") {
  Random random(1);
  const auto vit = make_encoder({.model = "vit-tiny", .vit = {.patch = 4}}, 32, random);
  const Json golden = golden_record("layer_rates.json");
  const Json& rates = golden.at("rates");
  for (const auto& [parameter, factor] : rates.items()) {
    const std::string& name = parameter;
    const auto rate = factor.get<double>();
    const std::string part = name.starts_with("head.") ? name : "encoder." + name;
    CHECK_MESSAGE(layer_rate(*vit, part, golden.at("decay").get<double>()) == doctest::Approx(rate), name);
  }
  CHECK(rates.size() == parts(*vit).size() + 2);  // the head
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

TEST_CASE("fine-tuning learns, repeats itself, and a tiny layer decay leaves the first layers as they were") {
  const BrightAndDark data;
  FinetuneOptions options;
  options.epochs = 12;
  options.batch = 32;
  options.crop_min = 0.8;
  options.optimizer.rate = 8e-3;
  options.optimizer.warmup_epochs = 1;
  const auto run = [&](const FinetuneOptions& o, uint64_t seed) {
    std::unique_ptr<Encoder> vit = make_vit(seed);
    double last = 0;
    const double accuracy =
        finetune_accuracy(*vit, data.train, data.test, data.view, o, [&](int64_t, double loss) { last = loss; });
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

TEST_CASE("fine-tuning heeds --lr-scaling and --warmup-steps, and refuses what it cannot do") {
  const BrightAndDark data;
  const auto loss_of = [&](const OptimizerOptions& optimizer) {
    FinetuneOptions options;
    options.epochs = 2;
    options.batch = 32;
    options.optimizer = optimizer;
    double last = 0;
    finetune_accuracy(*make_vit(1), data.train, data.test, data.view, options, [&](int64_t, double l) { last = l; });
    return last;
  };
  const OptimizerOptions by_batch{.kind = "adamw", .rate = 8e-3, .warmup_epochs = 1};
  OptimizerOptions absolute = by_batch;
  absolute.rate_scaling = "none";
  absolute.rate = by_batch.rate * 32 / 256;
  absolute.warmup_epochs = 0;
  absolute.warmup_steps = data.train->size() / 32;
  const double loss = loss_of(by_batch);
  CHECK(loss_of(absolute) == loss);
  absolute.warmup_steps = 1;
  CHECK(loss_of(absolute) != loss);

  Random random(1);
  const auto resnet = make_encoder({.model = "resnet10", .resnet = {.width = 4}}, 16, random);
  FinetuneOptions options;
  options.layer_decay = 0.75;
  CHECK_THROWS_WITH_AS(finetune_accuracy(*resnet, data.train, data.test, data.view, options),
                       doctest::Contains("--layer-decay"), Error);
}

TEST_CASE("the augmenting linear probe learns, repeats itself and leaves the encoder as it was") {
  const BrightAndDark data;
  LinearOptions options{.epochs = 8, .batch = 32, .augment = true};
  options.crop_min = 0.5;
  const auto run = [&](Encoder& encoder, int64_t seed) {
    double last = 0;
    options.seed = seed;
    const double accuracy = augmented_linear_accuracy(encoder, data.train, data.test, data.view, options,
                                                      [&](int64_t, double loss) { last = loss; });
    return std::pair(accuracy, last);
  };
  const auto vit = make_vit(1), untouched = make_vit(1);
  const std::pair<double, double> first = run(*vit, 1);
  CHECK(first.first > 90);
  CHECK(run(*vit, 1) == first);
  CHECK(run(*vit, 2).second != first.second);
  const std::vector<NamedPart> after = parts(*vit), before = parts(*untouched);
  for (size_t i = 0; i < before.size(); ++i)
    CHECK_MESSAGE(after[i].tensor.values() == before[i].tensor.values(), before[i].name);
  CHECK(options.protocol().find("crops from 0.5") != std::string::npos);
}

TEST_CASE("the augmenting linear probe without augmentation trains on what the cached one does") {
  const BrightAndDark data;
  LinearOptions options{.epochs = 4, .batch = 30, .crop_min = 1, .flip = 0};
  const auto vit = make_vit(1);
  std::vector<double> losses;
  augmented_linear_accuracy(*vit, data.train, data.test, data.view, options,
                            [&](int64_t, double loss) { losses.push_back(loss); });
  // At zero weights the loss of the first steps is near ln 2, and the same features are classified as well at the end.
  CHECK(losses[0] < std::log(2.0));
  CHECK(losses[3] < losses[0]);
  const double cached = linear_accuracy(extract_features(*vit, data.train, data.view),
                                        extract_features(*vit, data.test, data.view), 2, options);
  CHECK(std::abs(augmented_linear_accuracy(*vit, data.train, data.test, data.view, options) - cached) <= 10);
}

}  // namespace gestalt::test
