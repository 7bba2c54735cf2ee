// Folders for timm and transformers: names, shapes and configurations. tests/interchange/run.py loads them there.
#include "models/hub_folder.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/tensor/autograd.h"
#include "models/import.h"
#include "models/vit.h"
#include "tests/golden_step.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

Json json_in(const std::string& path) { return parse_json(path, read_text(path)); }

std::vector<float> features_of(Encoder& encoder) {
  const NoGrad no_grad;
  return encoder.forward(Random(5).uniform({2, 32, 32, 3}, 0, 1), false).values();
}

}  // namespace

TEST_CASE("folders for timm: the pooling and the view that were trained with are on record, and read back") {
  const TemporaryFolder folder;
  Random random(3);
  for (const char* pool : {"mean", "cls"}) {
    CAPTURE(pool);
    const EncoderOptions options{.model = "vit-nano", .vit = {.patch = 8, .pool = pool}};
    const auto encoder = make_encoder(options, 32, random);
    const std::string path = folder / pool;
    save_encoder_folder(path, *encoder, {options, 32, {{"gestalt.normalise", "imagenet"}}});
    const auto config = json_in(path + "/config.json"), processor = json_in(path + "/preprocessor_config.json");
    const bool mean = pool == std::string("mean");
    CHECK(config["architecture"] == "vit_base_patch16_224");
    CHECK(config["model_args"]["global_pool"] == (mean ? "avg" : "token"));
    CHECK(config["model_args"].contains("fc_norm") == mean);
    CHECK(config["model_args"]["depth"] == 6);
    CHECK(config["pretrained_cfg"]["crop_pct"] == 1.0);
    CHECK(config["pretrained_cfg"]["interpolation"] == "bilinear");
    CHECK(config["pretrained_cfg"]["mean"].dump() == "[0.485,0.456,0.406]");
    CHECK(processor["crop_size"]["height"] == 32);
    CHECK(processor["resample"] == 2);
    CHECK(features_of(*import_encoder(path).loaded.encoder) == features_of(*encoder));
    // The weights alone, as another program would have saved them: config.json tells the same.
    const SafetensorsFile file = read_safetensors(path + "/model.safetensors");
    write_safetensors(path + "/model.safetensors", file.tensors);
    const ImportedEncoder imported = import_encoder(path);
    CHECK(features_of(*imported.loaded.encoder) == features_of(*encoder));
    CHECK(imported.loaded.info.options.vit.pool == pool);
    CHECK(imported.loaded.info.image_size == 32);
    CHECK(imported.loaded.info.notes.at("gestalt.normalise") == "imagenet");
  }
}

TEST_CASE("folders for timm: what timm cannot build names no architecture of its, so that a load fails") {
  const TemporaryFolder folder;
  Random random(3);
  const auto lacks = [&](const EncoderOptions& options, int64_t size) {
    const auto encoder = make_encoder(options, size, random);
    const EncoderInfo info{options, size, {}};
    const std::string path = folder / "net", why = not_in_timm(*encoder, info);
    std::filesystem::remove_all(path);
    save_encoder_folder(path, *encoder, info);
    const std::string architecture = json_in(path + "/config.json")["architecture"].text();
    CHECK(architecture.starts_with(why));
    CHECK((architecture.find(' ') != std::string::npos) == !why.empty());
    CHECK(std::filesystem::exists(path + "/model.py") == (!why.empty() && options.model != "dcgan"));
    return why;
  };
  CHECK(lacks({.model = "resnet10", .resnet = {.stem = "imagenet"}}, 32).empty());
  CHECK(lacks({.model = "resnet18", .resnet = {.width = 16}}, 32) ==
        "resnet18 with a 3x3 first convolution and a width of 16");
  CHECK(lacks({.model = "resnet18", .resnet = {.width = 16}}, 96) == "resnet18 with a width of 16");
  CHECK(lacks({.model = "vit-nano", .vit = {.epsilon = 1e-12}}, 32) == "vit-nano with 1e-12 in its layer norms");
  CHECK(lacks({.model = "dcgan", .resnet = {.width = 8}}, 32) == "dcgan");
}

TEST_CASE("folders for transformers: a masked autoencoder has the names and shapes of ViTMAEForPreTraining") {
  const TemporaryFolder folder;
  Random random(3);
  const EncoderOptions options{.model = "vit-nano", .vit = {.patch = 8}};
  const EncoderInfo info{options, 32, {{"gestalt.normalise", "imagenet"}}};
  const auto encoder = make_encoder(options, 32, random);
  auto& vit = dynamic_cast<VisionTransformer&>(*encoder);
  const DecoderOptions decoder_options{.width = 32, .depth = 1, .heads = 2};
  MaskedDecoder decoder(decoder_options, vit.features(), vit.side(), vit.patch(), random);
  save_encoder_folder(folder / "", *encoder, info);
  add_masked_autoencoder(folder / "", *encoder, info, {decoder, decoder_options});
  const std::string path = folder / "mae.safetensors";
  const SafetensorsFile file = read_safetensors(path);
  const auto& expected = golden_record("foreign.json").at("cases").at("transformers mae").at("tensors");
  CHECK(file.tensors.size() == expected.size());
  for (const auto& [tensor, part] : expected.items()) {
    const std::string& name = tensor;
    const auto shape = part.get<std::vector<int64_t>>();
    CHECK_MESSAGE(file.at(name).shape() == Shape(std::span(shape)), name);
  }
  const auto config = json_in(folder / "config.json");
  CHECK(config["model_type"] == "vit_mae");
  CHECK(config["transformers_weights"] == "mae.safetensors");
  CHECK(config["architecture"] == "vit_base_patch16_224");  // timm's still
  CHECK(config["decoder_num_attention_heads"] == 2);
  CHECK(features_of(*import_encoder(path, {.pool = "mean"}).loaded.encoder).size() == 256);
  const std::string alone = folder / "model.safetensors";  // as transformers would name it
  std::filesystem::rename(path, alone);
  CHECK(features_of(*import_encoder(alone).loaded.encoder) == features_of(*encoder));
}

}  // namespace gestalt::test
