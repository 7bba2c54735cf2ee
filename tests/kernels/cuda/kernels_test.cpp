// Kernels whose ops the op table does not hold, on CUDA (real or emulated) against the CPU, in every order of threads.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "engine/data/images/augment.h"
#include "engine/nn/layers.h"
#include "engine/nn/optimizer.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/contrast.h"
#include "engine/ops/conv.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/patch.h"
#include "engine/ops/pool.h"
#include "engine/ops/tokens.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/kernels/cuda/orders.h"
#if GESTALT_EMULATED
#include "tests/cuda_emulator/emulator.h"
#endif

namespace gestalt::test {
namespace {

double worst(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i)
    most = std::max(most, std::isfinite(a[i]) ? std::abs(double{a[i]} - b[i]) : INFINITY);
  return most;
}

// Parameters that end in the middle of a vector, of a tile and of a block.
struct Model : Module {
  Tensor matrix = Tensor::from(hash_uniform("matrix", 9003), {3, 3001}).to(DType::f32).detach();
  Tensor bias = Tensor::from(hash_uniform("bias", 7), {7}).to(DType::f32).detach();
  Tensor square = Tensor::from(hash_uniform("square", 25), {5, 5}).to(DType::f32).detach();
  void visit(Visitor& v) override {
    v("matrix", matrix);
    v("bias", bias);
    v("square", square);
  }
};

std::vector<float> trained(const OptimizerOptions& options, DType compute, Device device) {
  Model model;
  ParameterArena arena(model, device, compute);
  if (options.decay_all)
    arena.factors([](const std::string& part) -> PartFactors {
      return {.rate = 0.5, .decay = 2, .frozen_steps = part == "square" ? 1 : 0};
    });
  Optimizer optimizer(arena, options);
  for (int step = 0; step < 3; ++step) {
    for (NamedPart& p : parts(model)) {
      const std::vector<double> g = hash_uniform(p.name + " gradient " + std::to_string(step), p.tensor.count());
      p.tensor.grad().copy_from(Tensor::from(g, p.tensor.shape()).to(DType::f32).to(device));
    }
    optimizer.step(0.05, options.decay);
  }
  std::vector<float> result = arena.weights.values();
  if (compute == DType::bf16) {
    const std::vector<float> shadows = arena.shadows.values();
    for (size_t i = 0; i < result.size(); ++i) CHECK(shadows[i] == float{BFloat16(result[i])});
  }
  result.push_back(static_cast<float>(optimizer.gradient_norm()));
  return result;
}

// Random bytes of the sizes given, one after another.
struct Images {
  std::vector<uint8_t> bytes;
  std::vector<kernels::Frame> frames;
  std::vector<int32_t> samples;

  explicit Images(std::initializer_list<std::pair<int, int>> sizes) {
    uint32_t state = 12345;
    for (auto [height, width] : sizes) {
      frames.push_back({static_cast<int64_t>(bytes.size()), height, width});
      samples.push_back(static_cast<int32_t>(17 * samples.size() + 3));
      for (int i = 0; i < 3 * height * width; ++i) {
        state = state * 1664525 + 1013904223;
        // Blocks of eight bytes share their upper half, so that images are not all noise.
        bytes.push_back(static_cast<uint8_t>((i / 8 * 37 % 128 + (state >> 25)) & 255));
      }
    }
  }
  Tensor pixels(Device device) const {
    return Tensor::from(std::span<const uint8_t>(bytes), Shape{static_cast<int64_t>(bytes.size())}).to(device);
  }
};

kernels::AugmentParameters everything(double probability) {
  AugmentOptions options;
  options.jitter = options.blur = options.solarize = options.grayscale = probability;
  options.normalise = "imagenet";
  return options.parameters();
}

std::vector<float> views(const Images& images, std::span<const kernels::AugmentParameters> parameters, int64_t size,
                         DType dtype, Device device) {
  return augment(images.pixels(device), images.frames, images.samples, parameters, size, 7, 3, dtype).values();
}

}  // namespace

TEST_CASE("cuda optimizers: three steps equal the CPU's, shadows are the rounded weights" *
          doctest::skip(without_cuda)) {
  for (const char* kind : {"sgd", "lars", "adamw"})
    for (auto [norm, by_part] : {std::pair{0.0, false}, {0.5, false}, {0.5, true}})
      for (DType compute : {DType::f32, DType::bf16}) {
        const double clip = norm;  // clang 14 captures no structured binding
        const bool each = by_part;
        CAPTURE(kind);
        CAPTURE(clip);
        CAPTURE(each);
        const OptimizerOptions options{
            .kind = kind, .decay = 0.05, .decay_all = each, .trust = 0.3, .clip = clip, .clip_each = each};
        const auto got = in_every_order([&] { return trained(options, compute, Device::cuda); });
        CHECK(worst(got, trained(options, compute, Device::cpu)) < 3e-6 * (1 + got.back()));
      }
}

TEST_CASE("cuda random masks equal the CPU's in every entry" * doctest::skip(without_cuda)) {
  for (auto [count, share] : {std::pair<int64_t, double>{1, 0.0}, {10, 0.7}, {196, 0.75}, {700, 0.5}}) {
    const int64_t patches = count;  // clang 14 captures no structured binding
    const double ratio = share;
    CAPTURE(patches);
    const auto drawn = [&](Device device) {
      const std::vector<int32_t> samples{7, 0, INT32_MAX, 7, 1234567};
      const PatchMask mask = random_mask(Tensor::from(samples, {5}).to(device), patches, ratio, 11, 3);
      std::vector<float> all = mask.visible.values();
      for (const Tensor& part : {mask.places, mask.masked})
        for (float v : part.values()) all.push_back(v);
      return all;
    };
    CHECK(in_every_order([&] { return drawn(Device::cuda); }) == drawn(Device::cpu));
  }
}

TEST_CASE("cuda optimizers: a gradient that is not finite shows; the teacher follows on unaligned memory too" *
          doctest::skip(without_cuda)) {
  Tensor x = Tensor::full({5000}, 1, DType::f32, Device::cuda), norm = Tensor::zeros({2}, DType::f64).to(Device::cuda);
  x.slice(4321, 4322).fill(INFINITY);
  kernels::launch(kernels::GradNorm{x.in(), norm.out(), 5000}, x.stream());
  CHECK(norm.values64()[1] == 1);
  kernels::launch(kernels::GradNorm{x.in(), norm.out(), 4321}, x.stream());
  CHECK(norm.values64()[0] == 4321);
  CHECK(norm.values64()[1] == 0);
  for (int64_t offset : {0, 1}) {
    Tensor teacher = Tensor::full({4500}, 1, DType::f32, Device::cuda);
    Tensor shadows = Tensor::zeros({4500}, DType::bf16, Device::cuda);
    Tensor t = teacher.slice(offset, 4499), s = shadows.slice(offset, 4499);
    Tensor student = Tensor::full({4500}, 3, DType::f32, Device::cuda);
    kernels::launch(kernels::EmaStep{t.out(), s.out(), student.slice(offset, 4499).in(), 0.75, 4499 - offset},
                    t.stream());
    for (float v : t.values()) REQUIRE(v == 1.5f);
    for (float v : s.values()) REQUIRE(v == 1.5f);
    CHECK(teacher.values()[4499] == 1);
  }
}

TEST_CASE("cuda augment: every operation equals the CPU's, at sizes that fit shared memory and that do not" *
          doctest::skip(without_cuda)) {
  const Images images{{24, 20}, {7, 31}, {1, 1}, {40, 3}, {33, 60}};
  for (double probability : {0.0, 0.5, 1.0})
    for (int64_t size : {1, 5, 19, 32}) {
      CAPTURE(probability);
      CAPTURE(size);
      const kernels::AugmentParameters parameters[] = {everything(probability), everything(probability)};
      const auto got = in_every_order([&] { return views(images, parameters, size, DType::f32, Device::cuda); });
      CHECK(worst(got, views(images, parameters, size, DType::f32, Device::cpu)) < 5e-5);
    }
  const kernels::AugmentParameters one[] = {everything(1)};
  const auto narrow = views(images, one, 19, DType::bf16, Device::cuda);
  CHECK(worst(narrow, views(images, one, 19, DType::bf16, Device::cpu)) < 0.02);
  const Images big{{150, 171}};
  CHECK(worst(views(big, one, 160, DType::f32, Device::cuda), views(big, one, 160, DType::f32, Device::cpu)) < 5e-5);
}

TEST_CASE("cuda augment: evaluation views of tiny and long images equal the CPU's" * doctest::skip(without_cuda)) {
  const Images images{{30, 23}, {1, 1}, {3, 700}};
  for (int64_t size : {1, 8}) {
    const auto view = [&](Device device) {
      return evaluation_view(images.pixels(device), images.frames, size, normalisation("none"), DType::f32, 0.875)
          .values();
    };
    CHECK(worst(view(Device::cuda), view(Device::cpu)) < 1e-5);
  }
}

#if GESTALT_EMULATED
TEST_CASE("cuda: the shared memory of sm_80 and of sm_86 is enough for views and pairs") {
  const kernels::AugmentParameters parameters[] = {everything(1)};
  const Images images{{100, 110}};
  const auto seen = [&](Device device) { return views(images, parameters, 96, DType::f32, device); };
  const auto loss_and_gradient = [](int64_t rows, int64_t dim, DType dtype, Device device) {
    const Tensor z = Tensor::from(hash_uniform("rows", rows * dim), {rows, dim}).to(dtype).to(device).require_grad();
    const Tensor loss = nt_xent(z, 0.3);
    loss.backward();
    std::vector<float> all = z.grad().values();
    for (float& v : all) v *= static_cast<float>(rows);
    all.push_back(loss.values()[0]);
    return all;
  };
  for (const size_t kib : {163, 99}) {
    CAPTURE(kib);
    emulator::set_shared_limit(kib << 10);
    CHECK(worst(seen(Device::cuda), seen(Device::cpu)) < 5e-5);
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const int64_t dim : {200, 400}) {
        if (kib == 99 && dtype == DType::f32 && dim == 400) {
          CHECK_THROWS_WITH_AS(loss_and_gradient(70, dim, dtype, Device::cuda),
                               doctest::Contains("bytes of shared memory"), Error);
          continue;
        }
        CAPTURE(dim);
        CHECK(worst(loss_and_gradient(70, dim, dtype, Device::cuda), loss_and_gradient(70, dim, dtype, Device::cpu)) <
              (dtype == DType::f32 ? 1e-4 : 2e-2));
      }
  }
  emulator::set_shared_limit(227 << 10);
}

TEST_CASE("cuda conv2d: a batch too large for cuDNN's tensors goes in parts") {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int64_t kernel : {1, 3}) {
      CAPTURE(kernel);
      const auto run = [&](Device device) {
        const Tensor x =
            Tensor::from(hash_uniform("x", 5 * 6 * 6 * 4), {5, 6, 6, 4}).to(dtype).to(device).detach().require_grad();
        const Tensor w = Tensor::from(hash_uniform("w", 8 * kernel * kernel * 4), {8, kernel, kernel, 4})
                             .to(DType::f32)
                             .to(device)
                             .detach()
                             .require_grad();
        const Tensor y = conv2d(x, w, 1, kernel / 2);
        y.backward(Tensor::from(hash_uniform("dy", y.count()), y.shape()).to(dtype).to(device));
        std::vector<float> all = y.values();
        for (const Tensor& part : {x.grad(), w.grad()})
          for (const float v : part.values()) all.push_back(v);
        return all;
      };
      const std::vector<float> whole = run(Device::cuda);
      emulator::set_tensor_limit(3 * 6 * 6 * 8);  // three images, then two
      const std::vector<float> parts = run(Device::cuda);
      emulator::set_tensor_limit(INT32_MAX);
      CHECK(worst(parts, whole) < (dtype == DType::f32 ? 1e-5 : 0.05));
      CHECK(worst(parts, run(Device::cpu)) < (dtype == DType::f32 ? 1e-4 : 0.1));
    }
}
#endif

TEST_CASE("cuda batch norm: running statistics follow as on the CPU, and evaluation uses them" *
          doctest::skip(without_cuda)) {
  for (auto [rows, channels] : {std::pair<int64_t, int64_t>{2, 1}, {37, 12}, {1030, 33}}) {
    const Shape shape{rows, channels};
    CAPTURE(shape.text());
    for (DType dtype : {DType::f32, DType::bf16}) {
      const auto run = [&](Device device) {
        const Tensor gamma = Tensor::full({shape[1]}, 1.5, DType::f32, device);
        const Tensor beta = Tensor::full({shape[1]}, -0.25, DType::f32, device);
        const Tensor mean = Tensor::full({shape[1]}, 0.5, DType::f32, device);
        const Tensor var = Tensor::full({shape[1]}, 2, DType::f32, device);
        std::vector<float> all;
        for (int step = 0; step < 3; ++step) {
          const std::vector<double> values = hash_uniform("batch " + std::to_string(step), shape.count());
          const Tensor x = Tensor::from(values, shape).to(dtype).to(device);
          for (bool training : {true, false})
            for (float v : batch_norm(x, gamma, beta, mean, var, {.training = training}).values()) all.push_back(v);
        }
        for (const Tensor& t : {mean, var})
          for (float v : t.values()) all.push_back(v);
        return all;
      };
      const auto got = in_every_order([&] { return run(Device::cuda); });
      const auto expected = run(Device::cpu);
      const auto statistics = [&](const std::vector<float>& all) {
        return std::vector<float>(all.end() - 2 * shape[1], all.end());
      };
      CHECK(worst(statistics(got), statistics(expected)) < 1e-6);
      CHECK(worst(got, expected) < (dtype == DType::f32 ? 1e-5 : 0.05));
    }
  }
}

TEST_CASE("cuda max pool: a NaN wins its windows and gets their gradient, as on the CPU" *
          doctest::skip(without_cuda)) {
  std::vector<double> values = hash_uniform("pooled", 2 * 7 * 9 * 5);
  for (size_t i : {0, 17, 18, 130, 411}) values[i] = NAN;
  values[200] = -INFINITY;
  for (int64_t kernel : {2, 3})
    for (DType dtype : {DType::f32, DType::bf16}) {
      CAPTURE(kernel);
      const auto run = [&](Device device) {
        Tensor x = Tensor::from(values, {2, 7, 9, 5}).to(dtype).to(device).detach().require_grad();
        const Tensor y = max_pool2d(x, kernel, 2, 1);
        y.backward(Tensor::full(y.shape(), 1, dtype, device));
        std::vector<float> all = y.values();
        for (float& v : all)
          if (std::isnan(v)) v = 1e9f;  // a number that can be compared
        for (float v : x.grad().values()) all.push_back(v);
        return all;
      };
      const auto got = in_every_order([&] { return run(Device::cuda); });
      CHECK(std::count(got.begin(), got.end(), 1e9f) > 3);
      CHECK(got == run(Device::cpu));
    }
}

TEST_CASE("cuda: an index out of range gathers NaN, scatters nothing, and makes a loss NaN; the CPU refuses it" *
          doctest::skip(without_cuda)) {
  const std::vector<int32_t> picks{2, -1, 0, 5, 4};
  const Tensor index = Tensor::from(std::span<const int32_t>(picks), Shape{5});
  const auto table_on = [](Device device) { return Tensor::full({5, 3}, 2, DType::f32, device).require_grad(); };
  CHECK_THROWS_AS(embedding(table_on(Device::cpu), index), Error);
  const Tensor table = table_on(Device::cuda);
  const Tensor rows = embedding(table, index.to(Device::cuda));
  const std::vector<float> got = rows.values();
  for (int i = 0; i < 15; ++i) CHECK(std::isnan(got[i]) == (i / 3 == 1 || i / 3 == 3));
  rows.backward(Tensor::full({5, 3}, 1, DType::f32, Device::cuda));
  const std::vector<float> expected{1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1};
  CHECK(table.grad().values() == expected);

  const std::vector<int32_t> classes{0, 3};
  const Tensor targets = Tensor::from(std::span<const int32_t>(classes), Shape{2});
  CHECK_THROWS_AS(cross_entropy(Tensor::zeros({2, 3}), targets), Error);
  const Tensor logits = Tensor::zeros({2, 3}, DType::f32, Device::cuda);
  CHECK(std::isnan(cross_entropy(logits, targets.to(Device::cuda)).item()));
}

}  // namespace gestalt::test
