// Reading encoders of other libraries.
#include "models/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/data/images/augment.h"
#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "models/foreign_names.h"
#include "models/resnet.h"
#include "models/vit.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// A file as it is; what the folder of a run or of a model holds.
std::string weights_in(const std::string& path) {
  if (!fs::is_directory(path)) {
    const std::string kind = fs::path(path).extension().string();
    check(kind != ".pth" && kind != ".pt" && kind != ".bin",
          "[import] '{}' is a pickle, expected safetensors; say in Python: safetensors.torch.save_file("
          "torch.load('{}'), 'weights.safetensors')",
          path, path);
    return path;
  }
  for (const char* name : {"encoder.safetensors", "model.safetensors"})
    if (fs::exists(fs::path(path) / name)) return (fs::path(path) / name).string();
  fail("[import] '{}' has no encoder.safetensors and no model.safetensors", path);
}

Json json_beside(const std::string& weights, const char* name) {
  const fs::path path = fs::path(weights).parent_path() / name;
  if (fs::path(weights).filename() != "model.safetensors" || !fs::exists(path)) return Json::object();
  const Json json = parse_json(path.string(), read_text(path.string()));
  return json.is_object() ? json : Json::object();
}

// The part of that name; null where there is none.
Json at(const Json& json, const char* key) { return json.is_object() && json.contains(key) ? json[key] : Json(); }

template <class T>
std::optional<T> value_at(const Json& json, const char* key) {
  if (!json.is_object() || !json.contains(key)) return {};
  const Json& value = json[key];
  if constexpr (std::is_same_v<T, std::string>) {
    if (value.is_string()) return value.get<T>();
  } else if constexpr (std::is_same_v<T, bool>) {
    if (value.is_boolean()) return value.get<T>();
  } else if constexpr (std::is_integral_v<T>) {
    if (value.is_number_integer()) return value.get<T>();
  } else {
    if (value.is_number()) return value.get<T>();
  }
  return {};
}

// What a config.json says.
struct Said {
  std::optional<std::string> pool, normalise;
  std::optional<int64_t> image_size, heads;
  double epsilon = 1e-6;
};

std::optional<std::string> normalisation_named(const std::string& path, const Json& mean, const Json& std) {
  if (!mean.is_array() || !std.is_array() || mean.size() != 3 || std.size() != 3) return {};
  for (const char* name : {"imagenet", "half", "none", "cifar10"}) {
    const Normalisation n = normalisation(name);
    bool same = true;
    for (size_t c = 0; c < 3; ++c)
      same = same && mean[c].is_number() && std[c].is_number() && std::abs(mean[c].get<double>() - n.mean[c]) < 1e-4 &&
             std::abs(std[c].get<double>() - n.std[c]) < 1e-4;
    if (same) return name;
  }
  fail(
      "[import] {} says that images have the mean {} and the deviation {}, expected those of none, half, imagenet or "
      "cifar10",
      path, mean.dump(), std.dump());
}

void check_same_function(bool same, const std::string& path, const std::string& what) {
  check(same, "[import] {} says {}, which no encoder of ours has", path, what);
}

Said said_by_timm(const std::string& path, const Json& config) {
  Said said;
  const Json arguments = at(config, "model_args"),
             trained = config.contains("pretrained_cfg") ? at(config, "pretrained_cfg") : config;
  std::string architecture = value_at<std::string>(config, "architecture").value_or("");
  architecture = architecture.substr(0, architecture.find('.'));
  const std::string stem = architecture.substr(architecture.starts_with("tv_") ? 3 : 0);
  const bool resnet = stem == "resnet10" || stem == "resnet18" || stem == "resnet34" || stem == "resnet50";
  const bool plain_vit = (stem.starts_with("vit_") || stem.starts_with("deit_")) &&
                         std::count(stem.begin(), stem.end(), '_') == 3;  // vit_base_patch16_224
  check_same_function(resnet || plain_vit, path, "architecture = " + architecture);
  said.pool = value_at<std::string>(arguments, "global_pool");
  if (!said.pool) said.pool = value_at<std::string>(config, "global_pool");
  check_same_function(!said.pool || *said.pool == "avg" || (plain_vit && *said.pool == "token"), path,
                      "global_pool = " + said.pool.value_or(""));
  if (said.pool) said.pool = *said.pool == "token" ? "cls" : "mean";
  if (resnet) said.pool.reset();
  said.heads = value_at<int64_t>(arguments, "num_heads");
  if (const Json size = at(trained, "input_size"); size.is_array() && size.size() == 3 && size[2].is_number())
    said.image_size = size[2].get<int64_t>();
  if (const auto size = value_at<int64_t>(arguments, "img_size")) said.image_size = size;
  said.normalise = normalisation_named(path, at(trained, "mean"), at(trained, "std"));
  return said;
}

Said said_by_transformers(const std::string& path, const Json& config, const Json& processor) {
  Said said;
  const std::string type = value_at<std::string>(config, "model_type").value_or("");
  const bool vit = type == "vit" || type == "vit_mae";
  check_same_function(vit || type == "resnet", path, "model_type = " + type);
  const std::string bend = value_at<std::string>(config, "hidden_act").value_or(vit ? "gelu" : "relu");
  check_same_function(bend == (vit ? "gelu" : "relu"), path, "hidden_act = " + bend);
  for (const char* key : {"downsample_in_first_stage", "downsample_in_bottleneck"})
    check_same_function(!value_at<bool>(config, key).value_or(false), path, std::string(key) + " = true");
  if (vit) said.epsilon = value_at<double>(config, "layer_norm_eps").value_or(1e-12);
  if (type == "vit_mae") said.pool = "mean";
  said.image_size = value_at<int64_t>(config, "image_size");
  said.heads = value_at<int64_t>(config, "num_attention_heads");
  said.normalise = normalisation_named(path, at(processor, "image_mean"), at(processor, "image_std"));
  return said;
}

// What save_encoder() wrote says it in its metadata.
Said said_by_us(const std::string& path, const Metadata& metadata) {
  JsonReader reader(path, parse_json(path, metadata.at("gestalt.encoder")));
  EncoderOptions options;
  options.fields(reader);
  const auto normalise = metadata.find("gestalt.normalise");
  return {.pool = options.vit.pool,
          .normalise = normalise == metadata.end() ? "none" : normalise->second,
          .image_size = {},
          .heads = {},
          .epsilon = options.vit.epsilon};
}

Said said_beside(const std::string& weights, Library library) {
  const Json config = json_beside(weights, "config.json");
  const std::string path = (fs::path(weights).parent_path() / "config.json").string();
  if (library == Library::transformers) {
    if (config.empty()) return {.pool = {}, .normalise = {}, .image_size = {}, .heads = {}, .epsilon = 1e-12};
    return said_by_transformers(path, config, json_beside(weights, "preprocessor_config.json"));
  }
  return config.contains("architecture") ? said_by_timm(path, config) : Said();
}

Tensor tensor_of(const std::string& path, const ForeignTensors& foreign, const std::string& name) {
  const auto found = foreign.tensors.find(name);
  check(found != foreign.tensors.end(), "[import] {} ({}) has no '{}'", path, gestalt::name(foreign.library), name);
  return found->second;
}

int64_t count_blocks(const ForeignTensors& foreign, const std::string& prefix, const std::string& part) {
  int64_t count = 0;
  while (foreign.tensors.contains(fmt::format("{}{}.{}", prefix, count, part))) ++count;
  return count;
}

void use_resnet(const std::string& path, const ForeignTensors& foreign, EncoderInfo& info) {
  std::vector<int64_t> blocks;
  for (int stage = 1; stage <= 4; ++stage)
    blocks.push_back(count_blocks(foreign, fmt::format("layer{}.", stage), "conv1.weight"));
  const bool bottleneck = foreign.tensors.contains("layer1.0.conv3.weight");
  for (const ResNetShape& s : resnet_shapes())
    if (s.blocks == blocks && s.bottleneck == bottleneck) info.options.model = s.name;
  check(!info.options.model.empty(), "[import] {} has {} {} blocks, which is none of 'gestalt list models'", path,
        fmt::join(blocks, ", "), bottleneck ? "bottleneck" : "basic");
  const Tensor& first = tensor_of(path, foreign, "conv1.weight");
  check(first.rank() == 4 && (first.dim(2) == 3 || first.dim(2) == 7),
        "[import] {} has conv1.weight of shape {}, "
        "expected filters of 7x7 or 3x3",
        path, first.shape().text());
  info.options.resnet = {.stem = first.dim(2) == 3 ? "cifar" : "imagenet", .width = first.dim(0)};
}

void use_vit(const std::string& path, const ForeignTensors& foreign, const Said& said, EncoderInfo& info) {
  const Tensor &patch = tensor_of(path, foreign, "patch_embed.proj.weight"),
               &positions = tensor_of(path, foreign, "pos_embed");
  const int64_t depth = count_blocks(foreign, "blocks.", "norm1.weight");
  check(patch.rank() == 4 && patch.dim(2) >= 1 && patch.dim(2) == patch.dim(3) && positions.rank() == 3,
        "[import] {} has patches of {} and positions of {}, expected (D, 3, P, P) and (1, T, D)", path,
        patch.shape().text(), positions.shape().text());
  for (const VitShape& s : vit_shapes())
    if (s.width == patch.dim(0) && s.depth == depth && s.heads == said.heads.value_or(s.heads))
      info.options.model = s.name;
  check(!info.options.model.empty(), "[import] {} has {} blocks of width {}{}, which is none of 'gestalt list models'",
        path, depth, patch.dim(0), said.heads ? fmt::format(" with {} heads", *said.heads) : "");
  check(!foreign.tensors.contains("reg_token"), "[import] {} has register tokens (reg_token), which ours have not",
        path);
  check(!foreign.tensors.contains("fc_norm.weight"),
        "[import] {} has its last norm after the mean of the tokens (fc_norm); ours have it before", path);
  const bool class_token = foreign.tensors.contains("cls_token");
  const auto side = static_cast<int64_t>(
      std::lround(std::sqrt(static_cast<double>(std::max<int64_t>(1, positions.dim(1) - class_token)))));
  info.options.vit = {.patch = patch.dim(2),
                      .pool = said.pool.value_or(class_token ? "cls" : "mean"),
                      .class_token = class_token,
                      .epsilon = said.epsilon};
  info.image_size = side * patch.dim(2);
  check(side * side == positions.dim(1) - class_token, "[import] {} has {} positions, expected a square of them{}",
        path, positions.dim(1), class_token ? " and one of the class token" : "");
}

// Turns OIHW filters, interpolates positions, and refuses what is missing, misshapen or of no use.
void fill(const std::string& path, const ForeignTensors& foreign, Encoder& encoder, const std::string& hint) {
  std::vector<std::string> known;
  for (NamedPart& p : parts(encoder)) {
    Tensor value = tensor_of(path, foreign, p.name);
    if (value.rank() == 4) {
      const Shape& s = p.tensor.shape();
      check(s.rank() == 4 && value.shape() == Shape{s[0], s[3], s[1], s[2]},
            "[import] {} has {} of shape {}, expected that of {} with the channels second{}", path, p.name,
            value.shape().text(), s.text(), hint);
      value = filter_of_ours(value);
    }
    if (p.name == "pos_embed" && value.rank() == 3 && value.shape() != p.tensor.shape()) {
      const auto& vit = dynamic_cast<VisionTransformer&>(encoder);
      value = interpolate_positions(value, vit.side(), vit.side(), vit.first_patch());
    }
    check(value.shape() == p.tensor.shape(), "[import] {} has {} of shape {}, expected {}{}", path, p.name,
          value.shape().text(), p.tensor.shape().text(), hint);
    p.tensor.copy_from(value.to(p.tensor.device()));
    known.push_back(p.name);
  }
  for (const auto& [name, tensor] : foreign.tensors)
    check(std::find(known.begin(), known.end(), name) != known.end(),
          "[import] {} has a tensor '{}', which this encoder has no place for; without it the features would be others",
          path, name);
  check_finite_parts(path, encoder);
}

std::string list_of(std::vector<std::string> names) {
  const size_t all = names.size();
  if (all > 6) names.resize(5);
  return fmt::format("{}{}", fmt::join(names, ", "), all > 6 ? fmt::format(" and {} more", all - 5) : "");
}

struct Read {
  std::string path;
  ForeignTensors foreign;
  EncoderInfo info;
  std::vector<std::string> said;
};

Read read_foreign(const std::string& path, const SafetensorsFile& file, const ImportOptions& options) {
  Read read{path, foreign_tensors(path, file), {}, {}};
  EncoderInfo& info = read.info;
  info.options.model = "";
  const bool ours = file.metadata.contains("gestalt.encoder");
  const Said said = ours ? said_by_us(path, file.metadata) : said_beside(path, read.foreign.library);
  info.image_size = said.image_size.value_or(224);
  check(info.image_size >= 1 && info.image_size <= 16384 && said.epsilon >= 0 && said.epsilon <= 1,
        "[import] {} says that its images have a side of {} and its norms an epsilon of {}, expected 1 to 16384 and 0 "
        "to 1",
        path, info.image_size, said.epsilon);
  if (read.foreign.vit)
    use_vit(path, read.foreign, said, info);
  else
    use_resnet(path, read.foreign, info);
  check(options.model.empty() || options.model == info.options.model, "[import] got --model {}, but {} holds a {}",
        options.model, path, info.options.model);
  check(options.pool.empty() || read.foreign.vit, "[import] got --pool {} for {}, which would ignore it", options.pool,
        info.options.model);
  if (!options.pool.empty()) info.options.vit.pool = options.pool;
  const std::string normalise = options.normalise.empty() ? said.normalise.value_or("imagenet") : options.normalise;
  info.notes["gestalt.normalise"] = normalise;
  read.said.push_back(
      fmt::format("{}: {}'s {}{}, images of {} pixels normalised as '{}'{}", path,
                  ours ? "Gestalt" : name(read.foreign.library), info.options.model,
                  read.foreign.vit ? fmt::format("/{}, pool {}", info.options.vit.patch, info.options.vit.pool)
                                   : ", stem " + info.options.resnet.stem,
                  info.image_size, normalise,
                  options.normalise.empty() && !said.normalise ? " (nothing says how; --normalise would)" : ""));
  if (!read.foreign.ignored.empty()) read.said.push_back("ignored: " + list_of(read.foreign.ignored));
  return read;
}

}  // namespace

void ImportOptions::fields(Fields& f) {
  f("model", model, "that a foreign encoder has to be; its file says what it is");
  f("pool", pool, "of a foreign ViT; empty: as its library pools", {"", "mean", "cls"});
  f("normalise", normalise, "of a foreign encoder; empty: as the config.json beside it says, else imagenet",
    {"", "none", "half", "imagenet", "cifar10"});
}

ImportedEncoder import_encoder(const std::string& given, const ImportOptions& options) {
  const std::string path = weights_in(given);
  const SafetensorsFile file = read_safetensors(path);
  if (file.metadata.contains("gestalt.encoder")) {
    check(options.model.empty() && options.pool.empty() && options.normalise.empty(),
          "[import] got --model, --pool or --normalise for {}, which says all of them itself", path);
    ImportedEncoder ours{load_encoder(path), {}};
    check_finite_parts(path, *ours.loaded.encoder);
    return ours;
  }
  Read read = read_foreign(path, file, options);
  ImportedEncoder imported{{nullptr, read.info}, read.said};
  Random random(0);
  imported.loaded.encoder = make_encoder(read.info.options, read.info.image_size, random);
  fill(path, read.foreign, *imported.loaded.encoder, "");
  return imported;
}

std::vector<std::string> fill_encoder(const std::string& given, Encoder& encoder, const EncoderOptions& options,
                                      int64_t image_size) {
  const std::string path = weights_in(given);
  const SafetensorsFile file = read_safetensors(path);
  Read read = read_foreign(path, file, {});
  const EncoderOptions& theirs = read.info.options;
  check(theirs.model == options.model, "[init] {} holds a {}, but the run has --model {}; say --model {}", path,
        theirs.model, options.model, theirs.model);
  if (read.foreign.vit) {
    check(theirs.vit.class_token == options.vit.class_token, "[init] {} has {} class token; say --{}class-token", path,
          theirs.vit.class_token ? "a" : "no", theirs.vit.class_token ? "" : "no-");
    check(theirs.vit.epsilon == options.vit.epsilon,
          "[init] {} adds {} to the variance in its norms; say "
          "--norm-epsilon {}",
          path, theirs.vit.epsilon, theirs.vit.epsilon);
  }
  const std::string hint = read.foreign.vit
                               ? fmt::format("; say --patch {}", theirs.vit.patch)
                               : fmt::format("; say --stem {} --width {}", theirs.resnet.stem, theirs.resnet.width);
  fill(path, read.foreign, encoder, hint);
  if (read.foreign.vit && read.info.image_size != image_size)
    read.said.push_back(fmt::format("positions: interpolated from {} to {} pixels", read.info.image_size, image_size));
  return read.said;
}

}  // namespace gestalt
