// The augmentation kernel against torchvision's values, its draws, and what a view must not depend on.
#include "engine/data/images/augment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "tests/golden/augment.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

using kernels::AugmentDraw;
using kernels::AugmentParameters;
using kernels::ColorOp;
using kernels::Frame;

// The image of tests/golden/augment.py.
void append_image(std::vector<uint8_t>& bytes, int height, int width) {
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const int r = (x * 37 + y * 91 + (x * y) % 29 * 7) % 256;
      int g = (x * 53 + y * 17 + 60) % 256, b = (x * 11 + y * 139 + (x + y) % 7 * 31 + 120) % 256;
      if ((x * y) % 13 == 0) g = r;
      if ((x + y) % 11 == 0) g = b = r;
      for (int value : {r, g, b}) bytes.push_back(static_cast<uint8_t>(value));
    }
}

struct Images {
  std::vector<uint8_t> bytes;
  std::vector<Frame> frames;
  std::vector<int32_t> samples;

  void add(int height, int width) {
    frames.push_back({static_cast<int64_t>(bytes.size()), height, width});
    samples.push_back(static_cast<int32_t>(samples.size()) * 7 + 3);
    append_image(bytes, height, width);
  }
  Tensor pixels() const {
    return Tensor::from(std::span<const uint8_t>(bytes), Shape{static_cast<int64_t>(bytes.size())});
  }
};

Images images(std::initializer_list<std::array<int, 2>> sizes) {
  Images result;
  for (auto [height, width] : sizes) result.add(height, width);
  return result;
}

// A draw that leaves an image of height × width as it is.
AugmentDraw untouched(int height, int width) {
  AugmentDraw d = {};
  d.height = static_cast<float>(height), d.width = static_cast<float>(width);
  d.clip = true;
  d.brightness = d.contrast = d.saturation = 1;
  for (int i = 0; i < 4; ++i) d.order[i] = static_cast<ColorOp>(i);
  return d;
}

std::vector<float> replay(int height, int width, int64_t size, const AugmentDraw& d, const AugmentParameters& p = {}) {
  const Images one = images({{height, width}});
  return augment(one.pixels(), one.frames, {&p, 1}, {&d, 1}, size).values();
}

double worst(const std::vector<float>& got, std::span<const float> expected) {
  REQUIRE(got.size() == expected.size());
  double most = 0;
  for (size_t i = 0; i < got.size(); ++i)
    most = std::max(most, std::isfinite(got[i]) ? std::abs(double{got[i]} - expected[i]) : INFINITY);
  return most;
}

double worst_single(std::span<const float> expected, void (*change)(AugmentDraw&)) {
  AugmentDraw d = untouched(8, 8);
  change(d);
  return worst(replay(8, 8, 8, d), expected);
}

AugmentParameters everything() {
  AugmentOptions options;
  options.blur = options.solarize = options.grayscale = 0.3;
  options.normalise = "cifar10";
  return options.parameters();
}

std::vector<float> part(const Tensor& y, int64_t index) { return y.slice(index, index + 1).values(); }

constexpr double tolerance = 5e-6;  // of values in [0, 1]: some tens of roundings, and the six recorded digits

// Sets every option to a value of its own, by name.
struct SetOptions : Fields {
  std::vector<std::string> names;

  void operator()(const char* name, double& value, const char*, const Bounds&) override {
    names.push_back(name);
    value = names.back() == "blur-max" ? 3 : (names.back() == "crop-max" ? 0.75 : 0.25);
  }
  void operator()(const char* name, std::string& value, const char*, const std::vector<std::string>& choices) override {
    names.push_back(name);
    value = choices.back();
  }
  void operator()(const char* name, bool&, const char*) override { FAIL(name); }
  void operator()(const char* name, int64_t&, const char*, const Bounds&) override { FAIL(name); }
};

}  // namespace

TEST_CASE("augment: resampling is torchvision's, antialiased") {
  CHECK(worst(replay(8, 8, 8, untouched(8, 8)), golden::resize_same) < 1e-6);
  CHECK(worst(replay(24, 20, 8, untouched(24, 20)), golden::resize_down) < tolerance);
  CHECK(worst(replay(5, 6, 8, untouched(5, 6)), golden::resize_up) < tolerance);
  CHECK(worst(replay(3, 40, 8, untouched(3, 40)), golden::resize_wide) < tolerance);
  CHECK(worst(replay(61, 2, 7, untouched(61, 2)), golden::resize_tall) < tolerance);
  CHECK(worst(replay(1, 1, 4, untouched(1, 1)), golden::resize_pixel) < tolerance);
  AugmentDraw d = untouched(13, 10);
  d.top = 3, d.left = 5;
  CHECK(worst(replay(24, 20, 8, d), golden::crop) < tolerance);
  d.flip = true;
  CHECK(worst(replay(24, 20, 8, d), golden::crop_flip) < tolerance);
}

TEST_CASE("augment: each colour operation is torchvision's") {
  CHECK(worst_single(golden::brightness_up, [](AugmentDraw& d) { d.brightness = 1.6f; }) < tolerance);
  CHECK(worst_single(golden::brightness_down, [](AugmentDraw& d) { d.brightness = 0.3f; }) < tolerance);
  CHECK(worst_single(golden::contrast_up, [](AugmentDraw& d) { d.contrast = 1.7f; }) < tolerance);
  CHECK(worst_single(golden::contrast_down, [](AugmentDraw& d) { d.contrast = 0.25f; }) < tolerance);
  CHECK(worst_single(golden::saturation_up, [](AugmentDraw& d) { d.saturation = 1.8f; }) < tolerance);
  CHECK(worst_single(golden::saturation_down, [](AugmentDraw& d) { d.saturation = 0.4f; }) < tolerance);
  CHECK(worst_single(golden::hue_plus, [](AugmentDraw& d) { d.hue = 0.1f; }) < tolerance);
  CHECK(worst_single(golden::hue_minus, [](AugmentDraw& d) { d.hue = -0.23f; }) < tolerance);
  CHECK(worst_single(golden::hue_half, [](AugmentDraw& d) { d.hue = 0.5f; }) < tolerance);
  CHECK(worst_single(golden::grayscale, [](AugmentDraw& d) { d.grayscale = true; }) < tolerance);
}

TEST_CASE("augment: blur, solarize and normalisation are torchvision's") {
  AugmentParameters p;
  AugmentDraw d = untouched(8, 8);
  d.blur_sigma = 0.4f;
  CHECK(worst(replay(8, 8, 8, d), golden::blur_narrow) < tolerance);
  d.blur_sigma = 2;
  p.blur_kernel = 5;
  CHECK(worst(replay(8, 8, 8, d, p), golden::blur_wide) < tolerance);

  d = untouched(40, 40);
  d.blur_sigma = 1.3f;
  p.blur_kernel = 9;
  const std::vector<float> whole = replay(40, 40, 18, d, p);
  std::vector<float> recorded;  // rows 4 to 12, columns 2 to 17
  for (int y = 4; y < 13; ++y) recorded.insert(recorded.end(), &whole[(y * 18 + 2) * 3], &whole[(y * 18 + 17) * 3] + 3);
  CHECK(worst(recorded, golden::blur_big) < tolerance);

  d = untouched(8, 8);
  d.solarize = true;
  p = {};
  p.solarize_threshold = 0.501f;
  CHECK(worst(replay(8, 8, 8, d, p), golden::solarize) < tolerance);

  d.solarize = false;
  const Normalisation n = normalisation("imagenet");
  std::copy_n(n.mean, 3, p.mean);
  std::copy_n(n.std, 3, p.std);
  CHECK(worst(replay(8, 8, 8, d, p), golden::normalise) < tolerance);
}

TEST_CASE("augment: whole chains in three orders are torchvision's") {
  const auto chain = [](AugmentDraw d, std::array<ColorOp, 4> order, float sigma, float threshold) {
    AugmentParameters p;
    const Normalisation n = normalisation("cifar10");
    std::copy_n(n.mean, 3, p.mean);
    std::copy_n(n.std, 3, p.std);
    std::copy_n(order.begin(), 4, d.order);
    d.brightness = 1.3f, d.contrast = 0.7f, d.saturation = 1.35f, d.hue = -0.07f;
    d.blur_sigma = sigma;
    d.solarize = threshold > 0;
    p.solarize_threshold = threshold;
    return replay(24, 20, 8, d, p);
  };
  using enum ColorOp;
  // Normalisation divides by a deviation of 0.25, so an error in [0, 1] counts four times.
  constexpr double normalised = 4 * tolerance;
  AugmentDraw d = untouched(20, 17);
  d.top = 2, d.left = 1;
  CHECK(worst(chain(d, {hue, saturation, contrast, brightness}, 0.6f, 0.55f), golden::chain_hscb) < normalised);
  d.flip = true;
  CHECK(worst(chain(d, {brightness, contrast, saturation, hue}, 0.9f, 0), golden::chain_bcsh) < normalised);
  d = untouched(9, 12);
  d.left = 3, d.flip = d.grayscale = true;
  CHECK(worst(chain(d, {contrast, saturation, brightness, hue}, 1.5f, 0.45f), golden::chain_csbh_gray) < normalised);
}

TEST_CASE("augment: the evaluation view is a resized short side and its centre") {
  const Images one = images({{30, 23}});
  const Tensor y = evaluation_view(one.pixels(), one.frames, 8, normalisation("none"), DType::f32, 0.5);
  CHECK(worst(y.values(), golden::evaluation) < tolerance);
  const Images square = images({{8, 8}});
  CHECK(worst(evaluation_view(square.pixels(), square.frames, 8, normalisation("none")).values(), golden::resize_same) <
        1e-6);
}

TEST_CASE("augment: what is drawn follows the parameters") {
  AugmentOptions options;
  options.blur = 0.35, options.solarize = 0.15;
  options.crop_min = 0.2, options.crop_max = 0.9;
  const AugmentParameters p = options.parameters();
  constexpr int count = 20000;
  int flips = 0, jitters = 0, grays = 0, blurs = 0, solarized = 0;
  double area_sum = 0, hue_sum = 0;
  std::map<std::array<ColorOp, 4>, int> orders;
  for (int i = 0; i < count; ++i) {
    const AugmentDraw d = draw_view(p, 5, 17, i, i % 3, 96, 128, 64);
    flips += d.flip, grays += d.grayscale, solarized += d.solarize, blurs += d.blur_sigma > 0;
    const double area = d.height * d.width / (96.0 * 128.0), ratio = d.width / d.height;
    area_sum += area;
    bool ok = d.clip && d.top >= 0 && d.left >= 0 && d.top + d.height <= 96 && d.left + d.width <= 128;
    ok = ok && area > 0.19 && area < 0.91 && ratio > 0.73 && ratio < 1.37;  // sides are rounded to whole pixels
    ok = ok && (d.blur_sigma == 0 || (d.blur_sigma >= 0.1f && d.blur_sigma <= 2));
    if (d.brightness != 1) {
      ++jitters, ++orders[{d.order[0], d.order[1], d.order[2], d.order[3]}];
      hue_sum += std::abs(d.hue);
      for (float factor : {d.brightness, d.contrast, d.saturation}) ok = ok && factor >= 0.6f && factor <= 1.4f;
      ok = ok && std::abs(d.hue) <= 0.1f;
    }
    REQUIRE(ok);
  }
  // Bounds are five standard deviations of a binomial: none fails for a right draw, a wrong probability does.
  const auto near = [](int hits, double probability) {
    return std::abs(hits - count * probability) < 5 * std::sqrt(count * probability * (1 - probability));
  };
  CHECK(near(flips, 0.5));
  CHECK(near(jitters, 0.8));
  CHECK(near(grays, 0.2));
  CHECK(near(blurs, 0.35));
  CHECK(near(solarized, 0.15));
  CHECK(hue_sum / jitters == doctest::Approx(0.05).epsilon(0.03));
  CHECK(area_sum / count > 0.45);  // uniform areas have mean 0.55; large ones that do not fit are drawn again
  CHECK(area_sum / count < 0.56);
  CHECK(orders.size() == 24);
  for (const auto& [order, hits] : orders) CHECK(near(hits, 0.8 / 24));
}

TEST_CASE("augment: crop positions cover the image, and a crop that never fits falls back to the centre") {
  AugmentParameters p;
  p.crop_area = {0.25f, 0.25f}, p.crop_ratio = {1, 1};
  std::map<float, int> tops;
  for (int i = 0; i < 4500; ++i) ++tops[draw_view(p, 1, 0, i, 0, 16, 16, 8).top];
  CHECK(tops.size() == 9);
  for (const auto& [top, hits] : tops) CHECK(std::abs(hits - 500) < 110);

  p.crop_area = {1, 1}, p.crop_ratio = {0.75f, 4.0f / 3.0f};
  const AugmentDraw wide = draw_view(p, 1, 0, 0, 0, 30, 300, 8), tall = draw_view(p, 1, 0, 0, 0, 300, 30, 8);
  CHECK(wide.height == 30);
  CHECK(wide.width == 40);
  CHECK(wide.left == 130);
  CHECK(tall.height == 40);
  CHECK(tall.width == 30);
  CHECK(tall.top == 130);
  const AugmentDraw line = draw_view(p, 1, 0, 0, 0, 1, 5000, 8);
  CHECK(line.height == 1);
  CHECK(line.width == 1);
}

TEST_CASE("augment: a view depends on its image, seed, step, sample and position alone") {
  const Images all = images({{24, 20}, {7, 31}, {1, 1}, {40, 3}, {33, 33}});
  const AugmentParameters views[] = {everything(), everything()};
  const Tensor y = augment(all.pixels(), all.frames, all.samples, views, 19, 11, 5);
  CHECK(y.shape() == Shape{10, 19, 19, 3});

  SUBCASE("alone or in another order") {
    const std::vector<Frame> frames{all.frames[3], all.frames[1]};
    const std::vector<int32_t> samples{all.samples[3], all.samples[1]};
    const Tensor z = augment(all.pixels(), frames, samples, views, 19, 11, 5);
    CHECK(part(z, 0) == part(y, 3));
    CHECK(part(z, 1) == part(y, 1));
    CHECK(part(z, 2) == part(y, 8));
    CHECK(part(z, 3) == part(y, 6));
  }
  SUBCASE("with any number of threads") {
    for (int threads : {1, 3, 7}) {
      const Threads team(threads);
      CHECK(augment(all.pixels(), all.frames, all.samples, views, 19, 11, 5).values() == y.values());
    }
  }
  SUBCASE("but changes with each of them") {
    CHECK(part(y, 0) != part(y, 5));
    CHECK(part(y, 4) != part(y, 9));
    CHECK(part(augment(all.pixels(), all.frames, all.samples, views, 19, 12, 5), 0) != part(y, 0));
    CHECK(part(augment(all.pixels(), all.frames, all.samples, views, 19, 11, 6), 0) != part(y, 0));
    const std::vector<int32_t> others{4, 5, 6, 7, 8};
    CHECK(part(augment(all.pixels(), all.frames, others, views, 19, 11, 5), 0) != part(y, 0));
  }
  SUBCASE("and is what a replay of its draw gives") {
    std::vector<AugmentDraw> draws;
    for (int v = 0; v < 2; ++v)
      for (size_t i = 0; i < all.frames.size(); ++i)
        draws.push_back(draw_view(views[v], 11, 5, all.samples[i], v, all.frames[i].height, all.frames[i].width, 19));
    CHECK(augment(all.pixels(), all.frames, views, draws, 19).values() == y.values());
  }
  SUBCASE("and bf16 is f32 rounded") {
    const Tensor z = augment(all.pixels(), all.frames, all.samples, views, 19, 11, 5, DType::bf16);
    CHECK(z.dtype() == DType::bf16);
    CHECK(z.values() == y.to(DType::bf16).values());
  }
}

TEST_CASE("augment: more views than one launch takes") {
  const Images one = images({{20, 20}});
  const std::vector<AugmentParameters> views(19, everything());
  const Tensor y = augment(one.pixels(), one.frames, one.samples, views, 6, 1, 2);
  REQUIRE(y.dim(0) == 19);
  std::vector<AugmentDraw> draws;
  for (int v = 0; v < 19; ++v) draws.push_back(draw_view(views[v], 1, 2, one.samples[0], v, 20, 20, 6));
  CHECK(augment(one.pixels(), one.frames, views, draws, 6).values() == y.values());
  CHECK(part(y, 17) != part(y, 1));
}

TEST_CASE("augment: extreme shapes and strengths stay finite and within range") {
  const Images all = images({{1, 1}, {1, 900}, {900, 1}, {2, 3}, {301, 5}});
  AugmentOptions options;
  options.jitter = options.blur = 1;
  options.brightness = options.contrast = options.saturation = 2, options.hue = 0.5;
  options.blur_max = 9;
  for (int64_t size : {1, 2, 3, 16, 33, 64}) {
    const AugmentParameters p = options.parameters();
    const std::vector<float> y = augment(all.pixels(), all.frames, all.samples, {&p, 1}, size, 3, 4).values();
    const auto [low, high] = std::minmax_element(y.begin(), y.end());
    CHECK(std::all_of(y.begin(), y.end(), [](float v) { return std::isfinite(v); }));
    CHECK(*low >= -1e-5f);
    CHECK(*high <= 1 + 1e-5f);
    for (double fraction : {1.0, 0.875}) {
      const Tensor e = evaluation_view(all.pixels(), all.frames, size, normalisation("none"), DType::f32, fraction);
      for (float v : e.values()) REQUIRE((v >= -1e-5f && v <= 1 + 1e-5f));
    }
  }
}

TEST_CASE("augment: every option reaches the kernel's parameters") {
  AugmentOptions options;
  SetOptions set;
  options.fields(set);
  CHECK(set.names.size() == 15);
  const AugmentParameters p = options.parameters();
  CHECK(p.crop_area.low == 0.25f);
  CHECK(p.crop_area.high == 0.75f);
  for (float probability : {p.flip, p.jitter, p.grayscale, p.blur, p.solarize}) CHECK(probability == 0.25f);
  for (const kernels::Range& r : {p.brightness, p.contrast, p.saturation}) {
    CHECK(r.low == 0.75f);
    CHECK(r.high == 1.25f);
  }
  CHECK(p.hue.low == -0.25f);
  CHECK(p.hue.high == 0.25f);
  CHECK(p.blur_sigma.low == 0.25f);
  CHECK(p.blur_sigma.high == 3);
  CHECK(p.solarize_threshold == 0.25f);
  CHECK(p.std[0] == 0.2470f);

  options.brightness = 3;
  CHECK(options.parameters().brightness.low == 0);
  CHECK(options.parameters().brightness.high == 4);
  options.hue = 0.7;
  CHECK_THROWS_WITH_AS(options.parameters(), doctest::Contains("hue at most 0.5"), Error);
}

TEST_CASE("augment: draws are printed") {
  AugmentDraw d = untouched(20, 24);
  d.top = 3, d.left = 5;
  CHECK(describe(d) == "crop 20x24 at (3, 5)");
  d.flip = d.grayscale = d.solarize = true;
  d.hue = 0.03125f, d.contrast = 1.25f, d.blur_sigma = 0.85f;
  CHECK(describe(d) == "crop 20x24 at (3, 5), flip, jitter contrast 1.250 hue +0.031, grayscale, blur 0.850, solarize");
}

TEST_CASE("augment: bad input is refused") {
  const Images one = images({{4, 4}});
  const AugmentParameters p;
  const auto with = [&](Frame frame, const AugmentParameters& parameters, int64_t size, DType dtype) {
    return augment(one.pixels(), {&frame, 1}, one.samples, {&parameters, 1}, size, 0, 0, dtype);
  };
  const auto changed = [&](void (*change)(AugmentParameters&)) {
    AugmentParameters q;
    change(q);
    return q;
  };
  CHECK_THROWS_WITH_AS(with({1, 4, 4}, p, 4, DType::f32), doctest::Contains("inside the 48 bytes"), Error);
  CHECK_THROWS_WITH_AS(with({-3, 2, 2}, p, 4, DType::f32), doctest::Contains("[augment]"), Error);
  CHECK_THROWS_WITH_AS(with({0, 0, 4}, p, 4, DType::f32), doctest::Contains("at least 1x1"), Error);
  CHECK_THROWS_WITH_AS(with({0, 1 << 30, 1 << 30}, p, 4, DType::f32), doctest::Contains("[augment]"), Error);
  CHECK_THROWS_WITH_AS(with({0, 4, 4}, p, 0, DType::f32), doctest::Contains("1 to 16384"), Error);
  CHECK_THROWS_WITH_AS(with({0, 4, 4}, p, 4, DType::i32), doctest::Contains("f32 or bf16"), Error);
  const AugmentParameters bad[] = {
      changed([](AugmentParameters& q) { q.flip = 1.5f; }),
      changed([](AugmentParameters& q) { q.jitter = NAN; }),
      changed([](AugmentParameters& q) {
        q.crop_area = {0.5f, 0.2f};
      }),
      changed([](AugmentParameters& q) {
        q.crop_area = {0, 1};
      }),
      changed([](AugmentParameters& q) {
        q.hue = {-0.6f, 0};
      }),
      changed([](AugmentParameters& q) {
        q.brightness = {-1, 1};
      }),
      changed([](AugmentParameters& q) { q.blur_kernel = 4; }),
      changed([](AugmentParameters& q) { q.solarize_threshold = -1; }),
      changed([](AugmentParameters& q) { q.std[1] = 0; }),
      changed([](AugmentParameters& q) { q.crop_fraction = 0; }),
  };
  for (const AugmentParameters& q : bad)
    CHECK_THROWS_WITH_AS(with({0, 4, 4}, q, 4, DType::f32), doctest::Contains("[augment]"), Error);
  const std::vector<int32_t> two{0, 1};
  CHECK_THROWS_WITH_AS(augment(one.pixels(), one.frames, two, {&p, 1}, 4, 0, 0),
                       doctest::Contains("2 sample indices for 1 images"), Error);
  const Tensor floats = Tensor::zeros({48});
  CHECK_THROWS_WITH_AS(augment(floats, one.frames, one.samples, {&p, 1}, 4, 0, 0), doctest::Contains("expected u8"),
                       Error);
  AugmentDraw d = untouched(4, 5);
  CHECK_THROWS_WITH_AS(replay(4, 4, 4, d), doctest::Contains("inside the image"), Error);
  CHECK_THROWS_WITH_AS(normalisation("imagenette"), doctest::Contains("imagenet or cifar10"), Error);
}

}  // namespace gestalt::test
