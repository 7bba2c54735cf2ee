// Encoders of torchvision, timm and transformers: their features, and what is refused. tests/interchange/run.py reads
// files that the libraries write.
#include "models/import.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "engine/run/files.h"
#include "engine/tensor/autograd.h"
#include "tests/golden_step.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

// A tensor in PyTorch's layout, as tests/golden/foreign.py makes it.
NamedTensor made_up(const std::string& name, const std::vector<int64_t>& lengths) {
  if (name.ends_with("num_batches_tracked")) return {name, Tensor::zeros({}, DType::i32), true};
  int64_t count = 1;
  for (int64_t length : lengths) count *= length;
  std::vector<double> values = hash_uniform(name, count);
  const double fan_in = lengths.empty() ? 1 : static_cast<double>(count / lengths[0]);
  for (double& v : values) {
    v = lengths.size() > 1 ? v * std::sqrt(24 / fan_in) : (name.ends_with("weight") ? 1 + 0.2 * v : 0.2 * v);
    if (name.ends_with("running_var")) ++v;
  }
  return {name, Tensor::from(values, Shape(std::span(lengths))).to(DType::f32)};
}

std::vector<NamedTensor> tensors_of(const std::string& name) {
  std::vector<NamedTensor> tensors;
  for (const auto& [tensor, shape] : golden_record("foreign.json").at("cases").at(name).at("tensors").items())
    tensors.push_back(made_up(tensor, shape));
  return tensors;
}

// A case of foreign.py as a file.
std::string write_case(const std::string& path, const std::string& name) {
  write_safetensors(path, tensors_of(name));
  return path;
}

double error_of(Encoder& encoder, const std::string& name, int64_t size) {
  const NoGrad no_grad;
  const Tensor images = Tensor::from(hash_uniform("images", 2 * size * size * 3), {2, size, size, 3}).to(DType::f32);
  const Tensor features = encoder.forward(images, false);
  return golden_error("features", features,
                      golden_record("foreign.json").at("cases").at(name).at("features").at(std::to_string(size)));
}

bool says(const std::vector<std::string>& said, const char* part) {
  for (const std::string& line : said)
    if (line.find(part) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("foreign encoders: the features of torchvision, timm and transformers, and what is ignored") {
  const TemporaryFolder folder;
  struct Case {
    const char *name, *model, *pool, *ignored;
  };
  for (const Case& c :
       {Case{"torchvision resnet", "resnet10", "", "ignored: fc.bias, fc.weight"},
        Case{"torchvision vit", "vit-nano", "", "ignored: heads.head.bias, heads.head.weight"},
        Case{"timm vit", "vit-nano", "mean", "ignored: head.bias, head.weight"},
        Case{"transformers vit", "vit-nano", "", "ignored: pooler.dense.bias, pooler.dense.weight"},
        Case{"transformers resnet", "resnet18", "", ""}, Case{"transformers mae", "vit-nano", "mean", "and 19 more"}}) {
    CAPTURE(std::string(c.name));
    const std::string path = write_case(folder / "net.safetensors", c.name);
    const ImportedEncoder imported = import_encoder(path, {.model = c.model, .pool = c.pool});
    const double error = error_of(*imported.loaded.encoder, c.name, 32);
    MESSAGE(std::string(c.name), ": relative error of the features ", error);
    CHECK(error < 1e-5);
    CHECK(says(imported.said, c.ignored));
    CHECK(says(imported.said, "normalised as 'imagenet' (nothing says how"));
    CHECK(imported.loaded.info.notes.at("gestalt.normalise") == "imagenet");
    if (c.model == std::string("vit-nano")) CHECK(imported.loaded.info.image_size == 32);
  }
}

TEST_CASE("foreign encoders: what a config.json says of pooling, size and normalisation is used or refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors", config = folder / "config.json";
  write_case(path, "timm vit");
  const std::string half = R"("mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5])";
  const auto timm = [&](const std::string& name, const std::string& arguments, const std::string& view) {
    write_file_atomically(config, "{\"architecture\": \"" + name + "\", \"model_args\": {" + arguments +
                                      "}, \"pretrained_cfg\": {" + view + "}}");
  };
  timm("vit_base_patch16_224.gestalt", R"("global_pool": "avg", "num_heads": 4)", half);
  const ImportedEncoder mean = import_encoder(folder / "", {});
  CHECK(error_of(*mean.loaded.encoder, "timm vit", 32) < 1e-5);
  CHECK(mean.loaded.info.options.vit.pool == "mean");
  CHECK(mean.loaded.info.notes.at("gestalt.normalise") == "half");
  const auto refused = [&](const char* why, const ImportOptions& options = {}) {
    CHECK_THROWS_WITH_AS(import_encoder(path, options), doctest::Contains(why), Error);
  };
  timm("vit_base_patch16_clip_224", "", half);
  refused("vit_base_patch16_clip_224");
  timm("vit_base_patch16_224", R"("global_pool": "map")", half);
  refused("global_pool = map");
  timm("vit_base_patch16_224", R"("num_heads": 8)", half);
  refused("with 8 heads");
  timm("vit_base_patch16_224", "", R"("mean": [0.1, 0.2, 0.3], "std": [1, 1, 1])");
  refused("the mean [0.1,0.2,0.3]");
  for (const char* strange : {"[]", "3", R"({"architecture": "resnet18", "model_args": 3, "pretrained_cfg": []})",
                              R"({"architecture": [], "pretrained_cfg": {"mean": 1, "input_size": {}}})"}) {
    write_file_atomically(config, strange);
    try {
      import_encoder(path, {});
    } catch (const Error&) {  // no other exception
    }
  }
  std::filesystem::remove(config);
  refused("--model resnet18, but", {.model = "resnet18"});

  write_case(path, "transformers vit");
  write_file_atomically(config, R"({"model_type": "vit", "layer_norm_eps": 1e-6, "image_size": 32})");
  write_file_atomically(folder / "preprocessor_config.json",
                        R"({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]})");
  const EncoderInfo info = import_encoder(path, {}).loaded.info;
  CHECK(info.options.vit.epsilon == 1e-6);
  CHECK(info.options.vit.pool == "cls");
  CHECK(info.notes.at("gestalt.normalise") == "half");
  write_file_atomically(folder / "preprocessor_config.json", "[1]");
  CHECK(import_encoder(path, {}).loaded.info.notes.at("gestalt.normalise") == "imagenet");
  write_file_atomically(config, R"({"model_type": "vit", "hidden_act": "quick_gelu"})");
  refused("hidden_act = quick_gelu");
  write_file_atomically(config, R"({"model_type": "dinov2"})");
  refused("model_type = dinov2");
}

TEST_CASE("foreign encoders: a tensor that is missing, misshapen or has no place is named") {
  const TemporaryFolder folder;
  const std::string path = folder / "net.safetensors";
  const auto refused = [&](const std::vector<NamedTensor>& tensors, const char* why) {
    write_safetensors(path, tensors);
    CHECK_THROWS_WITH_AS(import_encoder(path, {}), doctest::Contains(why), Error);
  };
  const auto without = [](const std::string& name, const std::string& part) {
    std::vector<NamedTensor> tensors = tensors_of(name);
    std::erase_if(tensors, [&](const NamedTensor& t) { return t.name == part; });
    return tensors;
  };
  refused(without("torchvision resnet", "layer2.0.bn2.running_mean"), "has no 'layer2.0.bn2.running_mean'");
  refused(without("transformers vit", "encoder.layer.3.attention.attention.key.bias"),
          "has only a part of blocks.3.attn.qkv.bias");
  refused(without("timm vit", "pos_embed"), "has no 'pos_embed'");
  std::vector<NamedTensor> more = tensors_of("timm vit");
  more.push_back({"blocks.0.ls1.gamma", Tensor::zeros({128})});
  refused(more, "'blocks.0.ls1.gamma', which this encoder has no place for");
  more.back() = {"fc_norm.weight", Tensor::zeros({128})};
  refused(more, "after the mean of the tokens");
  std::vector<NamedTensor> wrong = without("torchvision resnet", "bn1.bias");
  wrong.push_back({"bn1.bias", Tensor::zeros({9})});
  refused(wrong, "bn1.bias of shape");
  std::vector<NamedTensor> odd = without("timm vit", "pos_embed");
  odd.push_back({"pos_embed", Tensor::zeros({1, 16, 128})});
  refused(odd, "16 positions, expected a square of them and one of the class token");
  std::vector<NamedTensor> none = without("torchvision resnet", "layer1.0.conv1.weight");
  none.push_back({"layer1.0.conv1.weight", Tensor::zeros({0, 8, 3, 3})});
  refused(none, "layer1.0.conv1.weight of shape");
  none = without("timm vit", "patch_embed.proj.weight");
  none.push_back({"patch_embed.proj.weight", Tensor::zeros({128, 3, 0, 0})});
  refused(none, "patches of");
  refused({{"a.weight", Tensor::zeros({2})}}, "begins with 'a.weight'");
  none = without("torchvision resnet", "bn1.bias");
  none.push_back({"bn1.bias", Tensor::full({8}, NAN)});
  refused(none, "holds NaN or an infinity in bn1.bias");
  CHECK_THROWS_WITH_AS(import_encoder(folder / "net.pth", {}), doctest::Contains("safetensors.torch.save_file"), Error);
  write_case(path, "torchvision resnet");
  CHECK_THROWS_WITH_AS(import_encoder(path, {.pool = "cls"}), doctest::Contains("--pool cls"), Error);
}

TEST_CASE("beginning with foreign weights: positions of another grid are interpolated, other models are refused") {
  const TemporaryFolder folder;
  const std::string path = write_case(folder / "vit.safetensors", "transformers vit");
  Random random(3);
  const EncoderOptions options{.model = "vit-nano", .vit = {.patch = 8, .pool = "cls", .epsilon = 1e-12}};
  for (int64_t size : {32, 48}) {
    const auto encoder = make_encoder(options, size, random);
    const std::vector<std::string> said = fill_encoder(path, *encoder, options, size);
    CHECK(error_of(*encoder, "transformers vit", size) < 1e-5);
    CHECK(says(said, "interpolated from 32 to 48 pixels") == (size == 48));
    CHECK(says(said, "ignored: pooler"));
  }
  const auto refused = [&](const std::string& file, const EncoderOptions& other, const char* why) {
    const auto encoder = make_encoder(other, 32, random);
    CHECK_THROWS_WITH_AS(fill_encoder(file, *encoder, other, 32), doctest::Contains(why), Error);
  };
  refused(path, {.model = "resnet10"}, "say --model vit-nano");
  refused(path, {.model = "vit-nano", .vit = {.patch = 4, .epsilon = 1e-12}}, "say --patch 8");
  refused(path, {.model = "vit-nano", .vit = {.patch = 8}}, "say --norm-epsilon 1e-12");
  refused(path, {.model = "vit-nano", .vit = {.patch = 8, .class_token = false, .epsilon = 1e-12}},
          "say --class-token");
  const std::string resnet = write_case(folder / "resnet.safetensors", "torchvision resnet");
  refused(resnet, {.model = "resnet10"}, "say --stem imagenet --width 8");

  const EncoderOptions ours{.model = "resnet10", .resnet = {.width = 8}};  // what 'pretrain' wrote
  const auto begun = make_encoder(ours, 32, random), encoder = make_encoder(ours, 32, random);
  save_encoder(folder / "encoder.safetensors", *begun, {ours, 32, {}});
  fill_encoder(folder / "", *encoder, ours, 32);
  const Tensor images = random.uniform({2, 32, 32, 3}, 0, 1);
  CHECK(begun->forward(images, false).values() == encoder->forward(images, false).values());
  CHECK_THROWS_WITH_AS(import_encoder(folder / "encoder.safetensors", {.normalise = "half"}),
                       doctest::Contains("says all of them itself"), Error);
}

}  // namespace gestalt::test
