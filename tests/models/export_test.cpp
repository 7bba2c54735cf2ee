// Encoder files, old and new, and what models refuse of their options.
#include "models/export.h"

#include <doctest/doctest.h>

#include "engine/tensor/safetensors.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {

TEST_CASE("encoder files: saved and loaded features are equal; names and layouts are torchvision's") {
  const TemporaryFolder folder;
  const std::string path = folder / "encoder.safetensors";
  Random random(3);
  for (const char* model : {"resnet10", "resnet50"}) {
    CAPTURE(model);
    const EncoderOptions options{.model = model, .resnet = {.width = 8}};
    const auto encoder = make_encoder(options, 32, random);
    save_encoder(path, *encoder, {options, 32, {{"gestalt.normalise", "cifar10"}}});
    const LoadedEncoder loaded = load_encoder(path);
    CHECK(loaded.info.image_size == 32);
    CHECK(loaded.info.notes.at("gestalt.normalise") == "cifar10");
    const Tensor images = random.uniform({2, 32, 32, 3}, 0, 1);
    CHECK(encoder->forward(images, false).values() == loaded.encoder->forward(images, false).values());
  }
  const SafetensorsFile file = read_safetensors(path);
  CHECK(file.at("conv1.weight").shape() == Shape{8, 3, 3, 3});
  CHECK(file.at("layer1.0.downsample.0.weight").shape() == Shape{32, 8, 1, 1});
  CHECK(file.at("layer4.2.bn3.running_var").shape() == Shape{256});
  CHECK(file.at("bn1.num_batches_tracked").shape() == Shape{});
  CHECK(file.metadata.at("format") == "pt");
}

TEST_CASE("encoder files: damage and strangers are named") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  write_safetensors(path, {{"a", Tensor::zeros({2})}});
  CHECK_THROWS_WITH_AS(load_encoder(path), doctest::Contains(path.c_str()), Error);
  Random random(3);
  const auto encoder = make_encoder({.model = "resnet10", .resnet = {.width = 8}}, 32, random);
  save_encoder(path, *encoder, {{.model = "resnet10", .resnet = {.width = 16}}, 32, {}});
  CHECK_THROWS_WITH_AS(load_encoder(path), doctest::Contains("conv1.weight"), Error);
  const EncoderOptions options{.model = "resnet10", .resnet = {.width = 8}};
  save_encoder(path, *encoder, {options, 32, {}});
  SafetensorsFile file = read_safetensors(path);
  const auto refused = [&](const SafetensorsFile& changed, const char* why) {
    write_safetensors(path, changed.tensors, changed.metadata);
    CHECK_THROWS_WITH_AS(load_encoder(path), doctest::Contains(why), Error);
  };
  for (const char* size : {"", "many", "0", "-3", "32x", "99999999999999999999"}) {
    SafetensorsFile changed = file;
    changed.metadata["gestalt.image_size"] = size;
    refused(changed, "expected 1 to 16384");
  }
  SafetensorsFile with_head = file;
  with_head.tensors.push_back({"fc.weight", Tensor::zeros({10, 64})});
  refused(with_head, "'fc.weight', which this encoder has no use for");
  CHECK_THROWS_WITH_AS(make_encoder({.model = "resnet81"}, 32, random), doctest::Contains("resnet"), Error);
}

TEST_CASE("encoder files: those that name the options of every family load") {
  const TemporaryFolder folder;
  const std::string path = folder / "old.safetensors";
  Random random(3);
  const EncoderOptions options{.model = "resnet10", .resnet = {.stem = "cifar", .width = 8}};
  const auto encoder = make_encoder(options, 32, random);
  save_encoder(path, *encoder, {options, 32, {}});
  SafetensorsFile file = read_safetensors(path);
  CHECK(file.metadata.at("gestalt.encoder") == R"({"model":"resnet10","stem":"cifar","width":8})");
  file.metadata["gestalt.encoder"] = R"({"model":"resnet10","stem":"cifar","width":8,"patch":4,"pool":"cls"})";
  write_safetensors(path, file.tensors, file.metadata);
  const LoadedEncoder loaded = load_encoder(path);
  CHECK(loaded.info.options.resnet == options.resnet);
  CHECK(loaded.info.options.vit == VitOptions());
  const Tensor images = random.uniform({2, 32, 32, 3}, 0, 1);
  CHECK(encoder->forward(images, false).values() == loaded.encoder->forward(images, false).values());
}

TEST_CASE("encoders: an option that the model would ignore is refused by its flag") {
  Random random(1);
  const auto refuses = [&](const EncoderOptions& options, const char* flags) {
    CHECK_THROWS_WITH_AS(make_encoder(options, 32, random), doctest::Contains(flags), Error);
  };
  refuses({.model = "resnet10", .vit = {.patch = 4}}, "--patch for resnet10");
  refuses({.model = "resnet10", .vit = {.patch = 4, .pool = "cls"}}, "--patch and --pool for resnet10");
  refuses({.model = "vit-nano", .resnet = {.width = 16}}, "--width for vit-nano");
  refuses({.model = "vit-nano", .resnet = {.stem = "cifar"}}, "--stem for vit-nano");
  refuses({.model = "resnet10", .resnet = {.width = 0}}, "--width 0");
  refuses({.model = "vit-nano", .vit = {.patch = 5}}, "--patch");
  refuses({.model = "resent10"}, "did you mean 'resnet10'");
  CHECK(make_encoder({.model = "resnet10", .resnet = {.width = 4}}, 32, random)->features() == 32);
}

}  // namespace gestalt::test
