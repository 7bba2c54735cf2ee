// DCGAN against PyTorch: the losses of both networks and every gradient tensor, and what the networks refuse.
#include "models/dcgan.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/nn/arena.h"
#include "engine/ops/pointwise.h"
#include "engine/tensor/autograd.h"
#include "tests/devices.h"
#include "tests/golden_step.h"

namespace gestalt::test {
namespace {

const char* const record_file = "gan_step.json";
const DcganOptions small{.image_size = 32, .latent = 16, .width = 8};

// A network under its name in the record.
struct Named : Module {
  std::string name;
  Module& module;
  Named(std::string name, Module& module) : name(std::move(name)), module(module) {}
  void visit(Visitor& v) override { v(name, module); }
};

struct Networks {
  Random random{1};
  DcganGenerator generator{small, random};
  DcganDiscriminator discriminator{small, random};
  Named named_generator{"generator", generator}, named_discriminator{"discriminator", discriminator};
};

Tensor loss_of_real(const Tensor& logits) { return mean(softplus(scale(logits, -1))); }
Tensor loss_of_fake(const Tensor& logits) { return mean(softplus(logits)); }

// 2·hash_uniform of the name that the record has under `key`.
Tensor input(const std::string& key, const Shape& shape, Device device) {
  std::vector<double> values = hash_uniform(golden_text(record_file, key), shape.count());
  for (double& v : values) v *= 2;
  return Tensor::from(values, shape).to(DType::f32).to(device);
}

void check_step(double loss, Named& network) {
  const StepErrors errors = compare_step(record_file, loss, network, network.name);
  CHECK(errors.loss < 1e-5);
  const GradientError worst = errors.worst();
  MESSAGE("largest relative gradient error: ", worst.error, " in ", worst.name, ", of ", errors.gradients.size());
  for (const GradientError& g : errors.gradients) CHECK_MESSAGE(g.error < 1e-4, g.name);
}

double deviation_of(const Tensor& x, double mean) {
  double sum = 0;
  for (double v : x.values64()) sum += (v - mean) * (v - mean);
  return std::sqrt(sum / static_cast<double>(x.count()));
}

}  // namespace

TEST_CASE("DCGAN step on every device: losses and every gradient of both networks equal PyTorch's") {
  for (Device device : devices()) {
    CAPTURE(name(device));
    Networks n;
    fill_by_formula(n.named_generator);
    fill_by_formula(n.named_discriminator);
    ParameterArena generator_arena(n.named_generator, device, DType::f32);
    ParameterArena discriminator_arena(n.named_discriminator, device, DType::f32);
    const Tensor images = input("images", {4, 32, 32, 3}, device);
    const Tensor fake = n.generator(input("z", {4, small.latent}, device), true);
    CHECK(fake.shape() == images.shape());

    const Tensor loss = add(loss_of_real(n.discriminator.score(images, true)),
                            loss_of_fake(n.discriminator.score(fake.detach(), true)));
    loss.backward();
    check_step(loss.item(), n.named_discriminator);

    const Tensor generator_loss = loss_of_real(n.discriminator.score(fake, true));
    generator_loss.backward();
    check_step(generator_loss.item(), n.named_generator);
  }
}

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
  Networks n;
  CHECK_THROWS_AS(n.generator(Tensor::zeros({2, 15}), true), Error);
  CHECK_THROWS_AS(n.discriminator.score(Tensor::zeros({2, 16, 16, 3}), true), Error);
  CHECK_THROWS_AS(n.discriminator.score(Tensor::zeros({2, 32, 32, 1}), true), Error);
}

}  // namespace gestalt::test
