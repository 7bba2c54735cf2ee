// Random numbers: no two uses meet, and each use draws what a second implementation draws.
#include "kernels/philox.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <regex>
#include <set>

#include "engine/data/images/augment.h"
#include "engine/data/images/loader.h"
#include "engine/data/text/token_batches.h"
#include "engine/data/text/token_sets.h"
#include "engine/ops/noise.h"
#include "engine/ops/patch.h"
#include "engine/ops/rows.h"
#include "engine/ops/sigreg.h"
#include "engine/run/files.h"
#include "engine/tensor/random.h"
#include "models/sampling.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/source_path.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

using Block = std::array<uint32_t, 4>;
Block block(const Philox4& p) { return {p.word[0], p.word[1], p.word[2], p.word[3]}; }

// Whether these values, as floats, are the record's.
void equal(const Tensor& t, const std::vector<double>& expected) {
  const std::vector<float> got = t.values();
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-6));
}

const Json& golden() {
  static const auto record = golden_record("draws.json");
  return record;
}

template <class T>
std::vector<T> golden_list(const char* key) {
  return golden().at(key).get<std::vector<T>>();
}

}  // namespace

TEST_CASE("philox: each field of a draw has bits of its own in the counter, so that no two draws meet") {
  const uint64_t steps[] = {0, 1, 0xffffffff, uint64_t{1} << 32, uint64_t{0xffffff} << 32, last_step - 1, last_step};
  const uint32_t halves[] = {0, 1, 0xffff, 0x10000, 0x80000000, 0xfffffffe, 0xffffffff};
  std::set<Block> counters;
  size_t made = 0;
  for (uint32_t number = 0; number < 256; ++number)
    for (uint64_t step : steps)
      for (uint32_t sample : halves)
        for (uint32_t slot : halves) {
          const Block c = block(counter_of(static_cast<Use>(number), step, sample, slot));
          REQUIRE((c[3] >> 24) == number);
          REQUIRE((uint64_t{c[3] & 0xffffff} << 32 | c[0]) == step);
          REQUIRE(c[1] == sample);
          REQUIRE(c[2] == slot);
          counters.insert(c), ++made;
        }
  CHECK(counters.size() == made);
  // A step that is too large wraps within its bits and never reaches the use.
  CHECK(counter_of(Use::weights, UINT64_MAX, 1, 2).word[3] == 0x1ffffff);
  CHECK(block(counter_of(Use::view, last_step + 6, 1, 2)) == block(counter_of(Use::view, 5, 1, 2)));
  CHECK(slot_of_view(0, 0xffff) != slot_of_view(1, 0));
}

TEST_CASE("philox: the enum, its page and the second implementation agree on the uses") {
  // Of each match the name and the number, as text.
  const auto named = [](const char* file, const char* pattern) {
    const std::string text = read_text(source_path(file));
    const std::regex use(pattern);
    std::map<std::string, std::string> found;
    for (std::sregex_iterator it(text.begin(), text.end(), use), end; it != end; ++it) found[(*it)[1]] = (*it)[2];
    return found;
  };
  const auto uses = named("/kernels/philox.h", "\n  ([a-z_]+) = ([0-9]+),");
  CHECK(uses.size() >= 11);
  CHECK(named("/kernels/random.md", "\n\\| `([a-z_]+)` \\| ([0-9]+) \\|") == uses);
  std::map<std::string, std::string> recorded;
  for (const auto& [name, number] : golden().at("uses").items()) recorded[name] = number.dump();
  CHECK(recorded == uses);
}

TEST_CASE("philox: a model's tensors share no block with views, masks and orders of the first steps") {
  constexpr uint64_t seed = 1;
  std::set<Block> weights;
  for (uint64_t tensor = 0; tensor < 64; ++tensor)
    for (uint32_t element = 0; element < 256; ++element)
      for (uint32_t attempt = 0; attempt < 2; ++attempt)
        weights.insert(block(draw(seed, Use::weights, tensor, element, attempt)));
  CHECK(weights.size() == 64 * 256 * 2);
  bool met = false;
  for (uint64_t step = 0; step < 4; ++step)
    for (uint32_t sample = 0; sample < 256; ++sample) {
      for (uint32_t view = 0; view < 2; ++view)
        for (uint32_t number = 0; number < 13; ++number)
          met |= weights.contains(block(draw(seed, Use::view, step, sample, slot_of_view(view, number))));
      for (uint32_t slot = 0; slot < 64; ++slot)
        met |= weights.contains(block(draw(seed, Use::mask, step, sample, slot)));
      met |= weights.contains(block(draw(seed, Use::order, step, sample, 0)));
    }
  CHECK_FALSE(met);
}

TEST_CASE("philox: blocks equal a second implementation's") {
  for (const auto& row : golden().at("blocks")) {
    const Philox4 got = draw(row[0].get<uint64_t>(), static_cast<Use>(row[1].get<uint32_t>()), row[2].get<uint64_t>(),
                             row[3].get<uint32_t>(), row[4].get<uint32_t>());
    for (size_t i = 0; i < 4; ++i) CHECK(got.word[i] == row[5][i].get<uint32_t>());
  }
}

TEST_CASE("philox: orders, weights, masks and views equal a second implementation's") {
  CHECK(epoch_order(50, 5, 2) == golden_list<int32_t>("order"));

  Random random(7);
  for (const auto& expected : golden_list<std::vector<double>>("uniform")) equal(random.uniform({40}, 0, 1), expected);
  equal(random.normal({40}, 0, 1), golden_list<double>("normal"));
  equal(random.truncated_normal({200}, 1), golden_list<double>("truncated"));

  const std::vector<int32_t> samples{0, 3, INT32_MAX};
  const PatchMask mask = random_mask(Tensor::from(samples, {3}), 10, 0.7, 5, 9);
  const auto orders = golden_list<std::vector<int32_t>>("masks");
  for (size_t b = 0; b < samples.size(); ++b) {
    std::vector<int32_t> got(mask.visible.data<int32_t>() + 3 * b, mask.visible.data<int32_t>() + 3 * (b + 1));
    got.insert(got.end(), mask.masked.data<int32_t>() + 7 * b, mask.masked.data<int32_t>() + 7 * (b + 1));
    CHECK(got == orders[b]);
  }

  const kernels::AugmentParameters p = AugmentOptions().parameters();
  for (int number : {0, 1})
    for (int32_t sample = 0; sample < 40; ++sample) {
      const kernels::AugmentDraw d = draw_view(p, 5, number ? 3 : 0, sample, number, 32, 32, 32);
      const auto& expected = golden().at("views")[static_cast<size_t>(number)][static_cast<size_t>(sample)];
      CHECK(d.flip == expected[0].get<bool>());
      CHECK(d.grayscale == expected[1].get<bool>());
      CHECK(d.brightness == doctest::Approx(expected[2].get<double>()).epsilon(1e-6));
      CHECK(d.hue == doctest::Approx(expected[3].get<double>()).epsilon(1e-6));
    }
}

TEST_CASE("philox: windows, dropout and tokens equal a second implementation's") {
  const TemporaryFolder folder;
  TokenFileWriter writer(folder / "tokens", *byte_tokenizer());
  writer.append(std::vector<int32_t>(1000, 7));
  writer.commit(1000);
  const TokenBatches batches(std::make_shared<TokenFile>(folder / "tokens"), 16, 7);
  const auto starts = golden_list<int64_t>("windows");
  const int64_t numbers[] = {0, 1, 0xffffffff, int64_t{1} << 32, (int64_t{1} << 40) + 3};
  for (size_t i = 0; i < starts.size(); ++i) CHECK(batches.start(numbers[i]) == starts[i]);

  const std::vector<float> y = dropout(Tensor::full({50}, 1), 0.3, 5, 6, 70000).values();
  const auto kept = golden_list<bool>("dropout");
  for (size_t i = 0; i < kept.size(); ++i) CHECK((y[i] != 0) == kept[i]);

  const auto tokens = golden_list<int32_t>("tokens");
  const std::vector<float> logits(10, 0.0f);
  SamplingOptions options;
  options.seed = 9;
  for (size_t i = 0; i < tokens.size(); ++i) CHECK(sample(logits, options, i) == tokens[i]);
}

TEST_CASE("philox: noise equals a second implementation's on every device, whatever else is in the batch") {
  const auto expected = golden().at("noise").get<std::vector<std::vector<double>>>();
  for (Device device : devices()) {
    CAPTURE(name(device));
    const std::vector<int32_t> samples{0, 3, INT32_MAX};
    const Tensor all = normal_noise(Tensor::from(samples, {3}).to(device), 7, 5, 9);
    CHECK(all.shape() == Shape{3, 7});
    CHECK(all.device() == device);
    for (int64_t i = 0; i < 3; ++i) {
      const std::vector<double> got = all.slice(i, i + 1).values64();
      for (size_t j = 0; j < 7; ++j) CHECK(std::abs(got[j] - expected[static_cast<size_t>(i)][j]) < 1e-5);
    }
    const Tensor one = normal_noise(Tensor::from(std::vector<int32_t>{3}, {1}).to(device), 7, 5, 9);
    CHECK(one.values() == all.slice(1, 2).values());
    const Tensor narrow = normal_noise(Tensor::from(samples, {3}).to(device), 7, 5, 9, DType::bf16);
    CHECK(narrow.dtype() == DType::bf16);
    CHECK(narrow.values() == all.to(DType::bf16).values());
    CHECK(normal_noise(Tensor::from(samples, {3}).to(device), 7, 5, 10).values() != all.values());
    CHECK_THROWS_AS(normal_noise(Tensor::from(samples, {3}).to(device), 0, 5, 9), Error);
  }
}

TEST_CASE("philox: directions equal a second implementation's on every device") {
  const auto expected = golden().at("directions").get<std::vector<std::vector<double>>>();
  for (Device device : devices()) {
    CAPTURE(name(device));
    const std::vector<double> got = random_slices(6, 7, 5, 9, device).values64();
    for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - expected[i / 7][i % 7]) < 1e-6);
    CHECK(random_slices(6, 7, 5, 10, device).values64() != got);
    CHECK_THROWS_WITH_AS(random_slices(0, 7, 5, 9, device), doctest::Contains("[random_slices]"), Error);
  }
}

TEST_CASE("philox: noise is normal") {
  std::vector<int32_t> samples(2000);
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<int32_t>(i);
  const Tensor z = normal_noise(Tensor::from(samples, {2000}), 10, 1, 0);
  double sum = 0, squares = 0, fourth = 0;
  for (double v : z.values64()) sum += v, squares += v * v, fourth += v * v * v * v;
  // Of 20,000 numbers: deviations of the mean, the variance and the fourth moment.
  CHECK(std::abs(sum / 2e4) < 5 / std::sqrt(2e4));
  CHECK(std::abs(squares / 2e4 - 1) < 5 * std::sqrt(2 / 2e4));
  CHECK(std::abs(fourth / 2e4 - 3) < 5 * std::sqrt(96 / 2e4));
}

TEST_CASE("philox: letters: equal a second implementation's") {
  const TokenSets sets = open_tokens("letters:200", {.tokenizer = {.kind = "byte"}, .val_fraction = 0});
  std::vector<int32_t> ids(static_cast<size_t>(sets.training->count()));
  sets.training->read(0, ids);
  CHECK(byte_tokenizer()->decode(ids) == golden().at("letters").get<std::string>());
  CHECK(open_tokens("letters:20000", {}).training->vocabulary() == 65);
  CHECK_THROWS_WITH_AS(open_tokens("letters:0", {}), doctest::Contains("letters: and a number"), Error);
  CHECK_THROWS_WITH_AS(open_tokens("leters:5", {}), doctest::Contains("did you mean 'letters:'"), Error);
}

}  // namespace gestalt::test
