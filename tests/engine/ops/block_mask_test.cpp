// Blocks of patches against a second implementation, the same on every device; the loss of prediction against its
// figure.
#include "engine/ops/block_mask.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "engine/ops/feature_loss.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/method_goldens.h"

namespace gestalt::test {
namespace {

using kernels::BlockSampling;
using kernels::MaskSampling;
using Lists = std::vector<std::vector<int32_t>>;  // an image's: the context, then the targets

std::vector<int32_t> integers(const Tensor& t) {
  const Tensor host = t.to(Device::cpu);
  return {host.data<int32_t>(), host.data<int32_t>() + host.count()};
}

BlockSampling sampling(const Json& record) {
  BlockSampling how;
  how.rows = how.columns = record.at("grid").get<int64_t>();
  how.original = record.at("original").get<bool>();
  return how;
}

// Of each image. Throws unless `places` repeats what the other lists say.
std::vector<Lists> lists_of(const std::vector<int32_t>& samples, const BlockSampling& how, int64_t kept, int64_t picked,
                            uint64_t seed, uint64_t step, Device device = Device::cpu) {
  const auto batch = static_cast<int64_t>(samples.size());
  const BlockLists drawn = draw_blocks(Tensor::from(samples, {batch}).to(device), how, kept, picked, seed, step);
  const auto context = integers(drawn.context), targets = integers(drawn.targets), places = integers(drawn.places);
  std::vector<Lists> all;
  for (int64_t b = 0; b < batch; ++b) {
    Lists lists{{context.begin() + b * kept, context.begin() + (b + 1) * kept}};
    for (int64_t i = b * how.blocks; i < (b + 1) * how.blocks; ++i) {
      lists.emplace_back(targets.begin() + i * picked, targets.begin() + (i + 1) * picked);
      std::vector<int32_t> sequence = lists[0];
      sequence.insert(sequence.end(), lists.back().begin(), lists.back().end());
      CHECK(std::equal(sequence.begin(), sequence.end(), places.begin() + i * (kept + picked)));
    }
    all.push_back(lists);
  }
  return all;
}

}  // namespace

TEST_CASE("blocks of patches on every device: lists and lengths equal a second implementation's") {
  for (const Json& record : golden_record("block_mask.json").at("cases"))
    for (Device device : devices()) {
      CAPTURE(name(device));
      const BlockSampling how = sampling(record);
      const auto kept = record.at("kept").get<int64_t>(), picked = record.at("picked").get<int64_t>();
      const BlockLengths lengths = block_lengths(how);
      CHECK(lengths.kept == kept);
      CHECK(lengths.picked == picked);
      CHECK(lists_of({0, 3, 70, 2147483647}, how, kept, picked, 5, 9, device) ==
            record.at("lists").get<std::vector<Lists>>());
      // Longer than most contexts and blocks: drawn again, and repeated.
      CHECK(lists_of({0, 3}, how, how.patches() / 2, how.patches() / 5, 5, 9, device) ==
            record.at("long").get<std::vector<Lists>>());
    }
}

TEST_CASE("blocks of patches: areas, contexts, last rows and columns are as often as NumPy's draws have them") {
  for (const Json& record : golden_record("block_mask.json").at("cases")) {
    const BlockSampling how = sampling(record);
    const Json& expected = record.at("statistics");
    constexpr int32_t images = 4000;
    double area = 0, context = 0, last_row = 0, last_column = 0;
    for (int32_t sample = 0; sample < images; ++sample) {
      const kernels::DrawnBlocks drawn = kernels::draw_blocks(how, 11, 3, sample, 0);
      for (int32_t n = 0; n < how.patches(); ++n) context += drawn.has(how, 0, n);
      for (int t = 1; t <= how.blocks; ++t) {
        area += drawn.of[t].area();
        last_row += drawn.of[t].top + drawn.of[t].height == how.rows;
        last_column += drawn.of[t].left + drawn.of[t].width == how.columns;
      }
    }
    const double blocks = images * static_cast<double>(how.blocks);
    // Within five deviations of the difference of means over ours and 20,000 images.
    const auto at = [&](const char* key) { return expected.at(key).get<double>(); };
    const auto near = [](double got, double want, double deviation, double count, double others) {
      return std::abs(got - want) <= 5 * deviation * std::sqrt(1 / count + 1 / others);
    };
    CHECK(near(area / blocks, at("target_area"), at("target_deviation"), blocks, 8e4));
    CHECK(near(context / images, at("context"), at("context_deviation"), images, 2e4));
    for (const auto& [got, key] : {std::pair(last_row, "last_row"), std::pair(last_column, "last_column")}) {
      const double want = at(key);
      CHECK(near(got / blocks, want, std::sqrt(want * (1 - want)), blocks, 8e4));
      CHECK((want == 0) == how.original);
    }
  }
}

TEST_CASE("blocks of patches: a context never has a target's patch; lists belong to seed, step and sample alone") {
  std::vector<int32_t> samples(500);
  std::iota(samples.begin(), samples.end(), 7);
  for (bool original : {false, true})
    for (int32_t grid : {4, 8, 14}) {
      BlockSampling how;
      how.rows = how.columns = grid;
      how.original = original;
      const auto [kept, picked] = block_lengths(how);
      const std::vector<Lists> all = lists_of(samples, how, kept, picked, 5, 9);
      int met = 0, repeated = 0, outside = 0;
      for (const Lists& lists : all) {
        const std::set<int32_t> context(lists[0].begin(), lists[0].end());
        repeated += context.size() < lists[0].size();
        for (size_t t = 0; t < lists.size(); ++t)
          for (int32_t n : lists[t]) {
            met += t > 0 && context.contains(n);
            outside += n < 0 || n >= grid * grid;
          }
      }
      CHECK(met == 0);
      CHECK(outside == 0);
      CHECK(repeated == 0);
      CHECK(lists_of(samples, how, kept, picked, 5, 10) != all);
      CHECK(lists_of(samples, how, kept, picked, 6, 9) != all);
      CHECK(lists_of({507 - 1, 7, 106}, how, kept, picked, 5, 9) == std::vector<Lists>{all[499], all[0], all[99]});
    }
}

TEST_CASE(
    "masks of blocks on every device: they equal a second implementation's, with the weights of a mean of means") {
  for (const Json& record : golden_record("block_mask.json").at("masks"))
    for (Device device : devices()) {
      CAPTURE(name(device));
      MaskSampling how;
      how.rows = how.columns = record.at("grid").get<int64_t>();
      const std::vector<int32_t> samples{0, 3, 70, 2147483647};
      const BlockMasks masks = mask_blocks(Tensor::from(samples, {4}).to(device), 2, how, 5, 9);
      const std::vector<int32_t> hidden = integers(masks.hidden), masked = integers(masks.masked);
      const std::vector<double> weights = masks.weights.to(Device::cpu).values64();
      const int64_t patches = how.patches(), most = how.most();
      for (int64_t i = 0; i < 8; ++i) {
        const auto expected = record.at("hidden").at(i / 4).at(i % 4).get<std::vector<int32_t>>();
        std::vector<int32_t> got, listed(masked.begin() + i * most, masked.begin() + (i + 1) * most);
        for (int32_t n = 0; n < patches; ++n)
          if (hidden[i * patches + n] == 1) got.push_back(n);
        CHECK(got == expected);
        REQUIRE(static_cast<int64_t>(expected.size()) <= most);
        for (size_t j = 0; j < listed.size(); ++j) {
          const bool there = j < expected.size();
          CHECK(listed[j] == (there ? expected[j] : 0));
          const double weight = there ? 1.0 / (8.0 * static_cast<double>(expected.size())) : 0;
          CHECK(weights[i * most + static_cast<int64_t>(j)] == doctest::Approx(weight));
        }
      }
    }
}

TEST_CASE("masks of blocks: sizes, views without a mask and corners are as often as NumPy's draws have them") {
  for (const Json& record : golden_record("block_mask.json").at("masks")) {
    constexpr int64_t images = 4000;
    MaskSampling how;
    how.rows = how.columns = record.at("grid").get<int64_t>();
    std::vector<int32_t> samples(images);
    std::iota(samples.begin(), samples.end(), 0);
    const BlockMasks masks = mask_blocks(Tensor::from(samples, {images}), 1, how, 11, 3);
    const std::vector<int32_t> hidden = integers(masks.hidden);
    const int64_t patches = how.patches();
    double size = 0, none = 0, corner = 0;
    for (int64_t i = 0; i < images; ++i) {
      const int32_t count = std::accumulate(hidden.begin() + i * patches, hidden.begin() + (i + 1) * patches, 0);
      size += count;
      none += count == 0;
      corner += hidden[(i + 1) * patches - 1];
    }
    const Json& expected = record.at("statistics");
    const auto at = [&](const char* key) { return expected.at(key).get<double>(); };
    const auto near = [](double got, double want, double deviation) {
      return std::abs(got / images - want) <= 5 * deviation * std::sqrt(1.0 / images + 1.0 / 20000);
    };
    const auto of_share = [](double share) { return std::sqrt(share * (1 - share)); };
    CHECK(near(size, at("hidden"), at("hidden_deviation")));
    CHECK(near(none, at("none"), of_share(at("none"))));
    CHECK(near(corner, at("corner"), of_share(at("corner"))));
  }
}

TEST_CASE("blocks of patches: what does not fit is refused") {
  const Tensor one = Tensor::from(std::vector<int32_t>{0}, {1});
  BlockSampling how{.rows = 4, .columns = 4};
  CHECK_THROWS_WITH_AS(draw_blocks(Tensor::zeros({1}), how, 2, 2, 0, 0), doctest::Contains("i32 (B)"), Error);
  CHECK_THROWS_WITH_AS(draw_blocks(one, how, 17, 2, 0, 0), doctest::Contains("17 and 2 of 16"), Error);
  how.target = {0.9, 1, 1, 1};
  CHECK_THROWS_WITH_AS(block_lengths(how), doctest::Contains("leave no context; use smaller patches"), Error);
  how.target = {0.2, 0.15, 1, 1};
  CHECK_THROWS_WITH_AS(block_lengths(how), doctest::Contains("0.2 to 0.15"), Error);
  how.blocks = 17;
  CHECK_THROWS_WITH_AS(block_lengths(how), doctest::Contains("expected 1 to 16"), Error);
  MaskSampling mask{.rows = 4, .columns = 4};
  CHECK_THROWS_WITH_AS(mask_blocks(Tensor::zeros({1}), 2, mask, 0, 0), doctest::Contains("i32 (B)"), Error);
  mask.ratio_low = mask.ratio_high = 0.05;
  CHECK_THROWS_WITH_AS(mask_blocks(one, 2, mask, 0, 0), doctest::Contains("use smaller patches"), Error);
  mask.ratio_low = 0.1;
  CHECK_THROWS_WITH_AS(mask_blocks(one, 2, mask, 0, 0), doctest::Contains("0.1 to 0.05"), Error);
}

TEST_CASE("feature loss: smooth L1 against normalised rows equals PyTorch's figure") {
  const Tensor a = S_leaf({1, 4, 6}, 0.3), b = S({1, 4, 6}, 1.1);
  const Tensor index = Tensor::from(std::vector<int32_t>{0, 1, 2, 3}, {1, 4});
  check_golden(feature_loss(a, b, index), {a}, {0.390756163, -0.041666667, 0.687357697}, 1e-8);
}

}  // namespace gestalt::test
