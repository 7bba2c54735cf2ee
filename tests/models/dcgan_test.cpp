// DCGAN: its losses against PyTorch, its shapes and initial values, and what the networks refuse.
#include "models/dcgan.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/ops/pointwise.h"
#include "engine/tensor/autograd.h"
#include "tests/golden_step.h"

namespace gestalt::test {
namespace {

const char* const record_file = "gan_step.json";
const DcganOptions small{.image_size = 32, .latent = 16, .width = 8};

Tensor loss_of_real(const Tensor& logits) { return mean(softplus(scale(logits, -1))); }
Tensor loss_of_fake(const Tensor& logits) { return mean(softplus(logits)); }

double deviation_of(const Tensor& x, double mean) {
  double sum = 0;
  for (double v : x.values64()) sum += (v - mean) * (v - mean);
  return std::sqrt(sum / static_cast<double>(x.count()));
}

}  // namespace

TEST_CASE("softplus of logits gives the losses of a GAN in f64") {
  const auto logits = [](double k) {
    std::vector<double> values;
    for (int i = 0; i < 4; ++i) values.push_back(std::sin(k + 1.7 * i + 0.31 * i * i));
    return Tensor::from(values, {4});
  };
  const Tensor real = logits(0.3), fake = logits(1.1);
  const std::vector<double> expected = golden_values(record_file, "losses_of_logits");
  CHECK(add(loss_of_real(real), loss_of_fake(fake)).item() == doctest::Approx(expected[0]).epsilon(1e-12));
  CHECK(loss_of_real(fake).item() == doctest::Approx(expected[1]).epsilon(1e-12));
}

TEST_CASE("DCGAN of any size 4·2^k: shapes, channels and initial values") {
  const NoGrad no_grad;
  for (const int64_t size : {16, 32, 64}) {
    CAPTURE(size);
    const int64_t widest = size;  // channels of the 4×4 map: 8 · size / 8
    const DcganOptions options{.image_size = size, .latent = 10, .width = 8};
    Random random(7);
    DcganGenerator generator(options, random);
    DcganDiscriminator discriminator(options, random);
    const Tensor images = generator(random.normal({2, 10}, 0, 1), true);
    CHECK(images.shape() == Shape{2, size, size, 3});
    for (double v : images.values64()) CHECK(std::abs(v) <= 1);
    CHECK(discriminator.score(images, true).shape() == Shape{2});
    CHECK(discriminator.features() == 4 * widest);
    CHECK(discriminator.forward(images, false).shape() == Shape{2, discriminator.features()});
    CHECK(parts(generator)[0].tensor.shape() == Shape{10, 4, 4, widest});

    for (Module* network : {static_cast<Module*>(&generator), static_cast<Module*>(&discriminator)})
      for (const NamedPart& p : parts(*network)) {
        if (!p.trained || p.tensor.count() < 500) continue;
        CHECK_MESSAGE(deviation_of(p.tensor, 0) == doctest::Approx(0.02).epsilon(0.1), p.name);
      }
  }
  Random random(7);
  DcganGenerator wide({.image_size = 32, .latent = 10, .width = 256}, random);
  for (const NamedPart& p : parts(wide)) {
    if (p.name == "norms.0.weight") CHECK(deviation_of(p.tensor, 1) == doctest::Approx(0.02).epsilon(0.1));
    if (p.name == "norms.0.bias") CHECK(deviation_of(p.tensor, 0) == 0);
  }
}

TEST_CASE("DCGAN refuses sizes that are not 4·2^k and inputs of other shapes") {
  Random random(7);
  for (const int64_t size : {0, 4, 8, 28, 48}) {
    CAPTURE(size);
    CHECK_THROWS_AS(DcganGenerator({.image_size = size}, random), Error);
    CHECK_THROWS_AS(DcganDiscriminator({.image_size = size}, random), Error);
  }
  DcganGenerator generator(small, random);
  DcganDiscriminator discriminator(small, random);
  CHECK_THROWS_AS(generator(Tensor::zeros({2, 15}), true), Error);
  CHECK_THROWS_AS(discriminator.score(Tensor::zeros({2, 16, 16, 3}), true), Error);
  CHECK_THROWS_AS(discriminator.score(Tensor::zeros({2, 32, 32, 1}), true), Error);
}

}  // namespace gestalt::test
