// What masked autoencoders are made of: positions, masks, the loss, ViTs and their files, and pictures.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>

#include "engine/data/images/image_codec.h"
#include "engine/ops/masked_loss.h"
#include "engine/run/files.h"
#include "engine/tensor/safetensors.h"
#include "models/export.h"
#include "models/reconstruction.h"
#include "models/vit.h"
#include "tests/golden_step.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

constexpr int64_t batch = 3, size = 16, patch = 4, patches = 16, kept = 4;

Tensor golden_images() {
  std::vector<double> pixels = hash_uniform("images", batch * size * size * 3);
  for (double& p : pixels) p += 0.5;
  return Tensor::from(pixels, {batch, size, size, 3}).to(DType::f32);
}

PatchMask golden_mask() {
  std::vector<int32_t> visible, places, masked;
  for (int64_t b = 0; b < batch; ++b) {
    const std::vector<double> noise = hash_uniform("noise " + std::to_string(b), patches);
    std::vector<int32_t> order(patches);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t i, int32_t j) { return noise[i] < noise[j]; });
    places.push_back(0);
    for (int64_t i = 0; i < patches; ++i) {
      (i < kept ? visible : masked).push_back(order[i]);
      if (i < kept) places.push_back(order[i] + 1);
    }
  }
  return {Tensor::from(visible, {batch, kept}), Tensor::from(places, {batch, 1 + kept}),
          Tensor::from(masked, {batch, patches - kept})};
}

std::vector<int32_t> integers(const Tensor& t) { return {t.data<int32_t>(), t.data<int32_t>() + t.count()}; }

}  // namespace

TEST_CASE("sine-cosine positions equal MAE's formula") {
  const Tensor positions = sincos_positions(3, 8);
  const std::vector<double> expected = golden_values("mae_step.json", "positions"), got = positions.values64();
  REQUIRE(positions.shape() == Shape{1, 10, 8});
  REQUIRE(expected.size() == got.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-6));
}

TEST_CASE("random masks: every patch once, the asked ratio, uniform, a function of seed, step and sample") {
  constexpr int64_t images = 2000, n = 10;
  std::vector<int32_t> samples(images);
  std::iota(samples.begin(), samples.end(), 70);
  const auto mask_of = [&](const std::vector<int32_t>& which, uint64_t seed, uint64_t step) {
    return random_mask(Tensor::from(which, {static_cast<int64_t>(which.size())}), n, 0.7, seed, step);
  };
  const PatchMask mask = mask_of(samples, 5, 9);
  REQUIRE(mask.visible.shape() == Shape{images, 3});
  REQUIRE(mask.masked.shape() == Shape{images, 7});
  const std::vector<int32_t> visible = integers(mask.visible), masked = integers(mask.masked),
                             places = integers(mask.places);
  std::vector<double> seen(n, 0);
  double pairs = 0;  // how often patches 0 and 1 are seen together
  for (int64_t b = 0; b < images; ++b) {
    std::set<int32_t> all(visible.begin() + 3 * b, visible.begin() + 3 * (b + 1));
    pairs += all.contains(0) && all.contains(1);
    for (int32_t v : all) ++seen[v];
    all.insert(masked.begin() + 7 * b, masked.begin() + 7 * (b + 1));
    CHECK(all.size() == n);
    CHECK(places[4 * b] == 0);
    for (int i = 0; i < 3; ++i) CHECK(places[4 * b + 1 + i] == visible[3 * b + i] + 1);
  }
  // Each patch is seen 600 times on average with a deviation of 20.5, each pair 133 times with one of 11.
  for (double s : seen) CHECK(std::abs(s - 600) < 5 * 20.5);
  CHECK(std::abs(pairs - 133.3) < 5 * 11.2);

  CHECK(integers(mask_of(samples, 5, 9).visible) == visible);
  CHECK(integers(mask_of(samples, 5, 10).visible) != visible);
  CHECK(integers(mask_of(samples, 6, 9).visible) != visible);
  // An image's mask depends neither on its place in the batch nor on the others there.
  const std::vector<int32_t> some{1500, 3, 1999, 3}, got = integers(mask_of({1570, 73, 2069, 73}, 5, 9).visible);
  for (size_t b = 0; b < some.size(); ++b)
    CHECK(std::equal(got.begin() + 3 * static_cast<long>(b), got.begin() + 3 * static_cast<long>(b + 1),
                     visible.begin() + 3 * some[b]));
}

TEST_CASE("random masks: ratios as MAE rounds them, one patch at least") {
  const Tensor one = Tensor::from(std::vector<int32_t>{0}, {1});
  const auto count = [&](int64_t n, double ratio) { return random_mask(one, n, ratio, 0, 0).visible.dim(1); };
  CHECK(count(196, 0.75) == 49);
  CHECK(count(10, 0.75) == 2);
  CHECK(count(10, 0.7) == 3);
  CHECK(count(16, 0) == 16);
  CHECK(count(4, 0.99) == 1);
  CHECK_THROWS_AS(count(16, 1), Error);
  CHECK_THROWS_WITH_AS(random_mask(Tensor::zeros({1}), 16, 0.5, 0, 0), doctest::Contains("i32 (B)"), Error);
}

TEST_CASE("masked loss ignores visible patches, and a constant prediction of the mean costs the normalised variance") {
  const Tensor images = golden_images();
  const PatchMask mask = golden_mask();
  Tensor predictions = Tensor::zeros({batch, patches, patch * patch * 3}).require_grad();
  const Tensor loss = masked_loss(predictions, images, mask.masked, patch, true);
  // Σ((x − mean)/√(var + ε))² over n numbers is n − 1 with the unbiased variance.
  CHECK(loss.item() == doctest::Approx(47.0 / 48.0).epsilon(1e-4));
  loss.backward();
  const std::vector<double> d = predictions.grad().values64();
  const std::vector<int32_t> visible = integers(mask.visible);
  for (int64_t i = 0; i < batch * kept; ++i) {
    const double* at = d.data() + (i / kept * patches + visible[i]) * 48;
    CHECK(std::all_of(at, at + 48, [](double g) { return g == 0; }));
  }
}

TEST_CASE("ViT: seeing every patch in order is the whole forward pass") {
  Random random(3);
  const VisionTransformer vit({"", "", 32, 2, 2}, size, patch, ClassToken::unpooled, random);
  const Tensor images = golden_images();
  std::vector<int32_t> visible, places;
  for (int64_t b = 0; b < batch; ++b)
    for (int32_t n = 0; n <= patches; ++n) {
      places.push_back(n);
      if (n > 0) visible.push_back(n - 1);
    }
  const PatchMask all{Tensor::from(visible, {batch, patches}), Tensor::from(places, {batch, 1 + patches}), {}};
  CHECK(vit.tokens(images, all, DType::f32).values() == vit.tokens(images, DType::f32).values());
}

TEST_CASE("ViT files have timm's names and shapes, and come back as they were") {
  const TemporaryFolder folder;
  for (const char* pool : {"mean", "cls"}) {
    Random random(4);
    const EncoderOptions options{.model = "vit-nano", .vit = {.patch = 8, .pool = pool}};
    const std::unique_ptr<Encoder> encoder = make_encoder(options, 32, random);
    const std::string path = folder / (std::string(pool) + ".safetensors");
    save_encoder(path, *encoder, {options, 32, {}});
    const SafetensorsFile file = read_safetensors(path);
    CHECK(file.at("cls_token").shape() == Shape{1, 1, 128});
    CHECK(file.at("pos_embed").shape() == Shape{1, 17, 128});
    CHECK(file.at("patch_embed.proj.weight").shape() == Shape{128, 3, 8, 8});
    CHECK(file.at("blocks.5.attn.qkv.weight").shape() == Shape{384, 128});
    CHECK(file.at("blocks.5.mlp.fc1.bias").shape() == Shape{512});
    CHECK(file.at("norm.weight").shape() == Shape{128});
    const LoadedEncoder loaded = load_encoder(path);
    const Tensor images = Random(5).uniform({2, 32, 32, 3}, 0, 1);
    CHECK(loaded.encoder->forward(images, false).values() == encoder->forward(images, false).values());
  }
}

TEST_CASE("ViT: an image that the patch does not divide is refused by name") {
  Random random(1);
  VisionTransformer vit({"", "", 32, 1, 2}, 16, 4, ClassToken::unpooled, random);
  CHECK_THROWS_WITH_AS(vit.forward(Tensor::zeros({1, 18, 18, 3}), false), doctest::Contains("multiples of 4"), Error);
  CHECK_THROWS_WITH_AS(VisionTransformer({"", "", 32, 1, 2}, 16, 5, ClassToken::unpooled, random),
                       doctest::Contains("--patch"), Error);
}

TEST_CASE("reconstructions: a perfect prediction paints the input, normalised or not") {
  const Tensor images = golden_images();
  const PatchMask mask = golden_mask();
  const Tensor target = gather_patches(images, {}, patch, DType::f32);
  Tensor normalised = target.clone();
  float* at = normalised.data<float>();
  for (int64_t p = 0; p < batch * patches; ++p, at += 48) {
    const double mean = std::accumulate(at, at + 48, 0.0) / 48;
    double squares = 0;
    for (int i = 0; i < 48; ++i) squares += (at[i] - mean) * (at[i] - mean);
    for (int i = 0; i < 48; ++i) at[i] = static_cast<float>((at[i] - mean) / std::sqrt(squares / 47 + 1e-6));
  }
  const Normalisation plain = normalisation("none");
  const Picture raw = draw_reconstructions({images, target, mask.masked, patch, false}, plain);
  const Picture scaled = draw_reconstructions({images, normalised, mask.masked, patch, true}, plain);
  REQUIRE(raw.pixels.size() == static_cast<size_t>(raw.height) * raw.width * 3);
  const int32_t tile = (raw.width - 4) / 4;
  int grey = 0, different = 0;
  for (int32_t y = 0; y < raw.height; ++y)
    for (int32_t x = 0; x < tile; ++x)
      for (int c = 0; c < 3; ++c) {
        const auto pixel = [&](const Picture& p, int column) {
          return p.pixels[(y * p.width + column * tile + x) * 3 + c];
        };
        for (const Picture* p : {&raw, &scaled})
          for (int column : {2, 3}) different += std::abs(pixel(*p, column) - pixel(*p, 0)) > 1;
        grey += pixel(raw, 1) == 128;
      }
  CHECK(different == 0);
  // Twelve of sixteen patches are hidden in each of the tiles' inner squares.
  CHECK(grey >= batch * 12 * 16 * 3 * (tile - 4) / 16 * (tile - 4) / 16);
  const TemporaryFolder folder;
  const std::string path = folder / "grid.png";
  write_picture(path, raw);
  const std::string bytes = read_text(path);
  const Image back = decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  CHECK(back.pixels == raw.pixels);
}

}  // namespace gestalt::test
