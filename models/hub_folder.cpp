// Writing encoders as folders: what timm and transformers read beside the weights.
#include "models/hub_folder.h"

#include <fmt/format.h>

#include <filesystem>

#include "engine/data/images/augment.h"
#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "models/resnet.h"
#include "models/vit.h"

namespace gestalt {
namespace {

constexpr const char *weights_file = "model.safetensors", *config_file = "config.json",
                     *processor_file = "preprocessor_config.json", *autoencoder_file = "mae.safetensors",
                     *program_file = "model.py";

std::string in(const std::string& folder, const char* name) { return (std::filesystem::path(folder) / name).string(); }
void write_json(const std::string& path, const Json& json) { write_file_atomically(path, json.dump(2) + "\n"); }

Json three(const float* values) {  // 0.485, not 0.48500001430511475
  Json list = Json::array();
  for (int i = 0; i < 3; ++i) list.push_back(parse_json("", fmt::format("{}", values[i])));
  return list;
}

Normalisation normalisation_of(const EncoderInfo& info) {
  const auto found = info.notes.find("gestalt.normalise");
  return normalisation(found == info.notes.end() ? "none" : found->second);
}

template <class Shape>
const Shape& shape_of(const std::vector<Shape>& shapes, const std::string& model) {
  for (const Shape& s : shapes)
    if (s.name == model) return s;
  fail("[export] got the model {}, which has no shape", model);
}

// The evaluation's view as a transform: the whole of the centre square, by a triangle filter.
Json processor_of(const EncoderInfo& info) {
  const Normalisation n = normalisation_of(info);
  return {{"image_processor_type", "BitImageProcessor"},
          {"do_convert_rgb", true},
          {"do_resize", true},
          {"size", {{"shortest_edge", info.image_size}}},
          {"resample", 2},
          {"do_center_crop", true},
          {"crop_size", {{"height", info.image_size}, {"width", info.image_size}}},
          {"do_rescale", true},
          {"rescale_factor", 1.0 / 255},
          {"do_normalize", true},
          {"image_mean", three(n.mean)},
          {"image_std", three(n.std)}};
}

Json vit_arguments(const VisionTransformer& vit, const EncoderInfo& info) {
  const VitShape& shape = shape_of(vit_shapes(), info.options.model);
  Json arguments{{"img_size", info.image_size}, {"patch_size", vit.patch()}, {"embed_dim", shape.width},
                 {"depth", shape.depth},        {"num_heads", shape.heads},  {"class_token", vit.first_patch() == 1}};
  if (info.options.vit.pool == "cls")
    arguments["global_pool"] = "token";
  else  // the last norm before the mean; timm's own way has one after it
    arguments["global_pool"] = "avg", arguments["fc_norm"] = false;
  return arguments;
}

// timm's config.json; its pretrained_cfg is what AutoImageProcessor reads too.
Json timm_config(Encoder& encoder, const EncoderInfo& info) {
  const Normalisation n = normalisation_of(info);
  const auto* vit = dynamic_cast<const VisionTransformer*>(&encoder);
  const int64_t size = info.image_size;
  Json pretrained{{"tag", "gestalt"},
                  {"num_classes", 0},
                  {"input_size", {3, size, size}},
                  {"fixed_input_size", vit != nullptr},
                  {"interpolation", "bilinear"},
                  {"crop_pct", 1.0},
                  {"crop_mode", "center"},
                  {"mean", three(n.mean)},
                  {"std", three(n.std)},
                  {"first_conv", vit ? "patch_embed.proj" : "conv1"},
                  {"classifier", vit ? "head" : "fc"}};
  Json config{{"architecture", info.options.model},
              {"num_classes", 0},
              {"num_features", encoder.features()},
              {"pretrained_cfg", pretrained}};
  if (vit) {
    config["architecture"] = "vit_base_patch16_224";
    config["global_pool"] = info.options.vit.pool == "cls" ? "token" : "avg";
    config["model_args"] = vit_arguments(*vit, info);
  } else {
    config["global_pool"] = "avg";
    if (info.options.model == "resnet10")
      config["architecture"] = "resnet18", config["model_args"]["layers"] = {1, 1, 1, 1};
  }
  return config;
}

// A ResNet of any width and stem, from torchvision's parts.
std::string torchvision_program(Encoder& encoder, const EncoderInfo& info) {
  const ResNetShape& shape = shape_of(resnet_shapes(), info.options.model);
  const bool cifar = parts(encoder).front().tensor.dim(1) == 3;
  return fmt::format(
      R"(# The encoder of this folder, built from torchvision's parts: net = model.load("FOLDER")
import os
import torch
import torchvision
from safetensors.torch import load_file
from torchvision.models.resnet import {0}


def load(folder=os.path.dirname(os.path.abspath(__file__))):
    """Images (N, 3, H, W), normalised as preprocessor_config.json says, give features (N, {1})."""
    net = torchvision.models.ResNet({0}, {2})
    net.inplanes = {3}
    net.conv1 = torch.nn.Conv2d(3, {3}, {4}, bias=False)
    net.bn1 = torch.nn.BatchNorm2d({3}){5}
    for stage, blocks in enumerate({2}):
        setattr(net, f"layer{{stage + 1}}", net._make_layer({0}, {3} << stage, blocks, stride=min(stage, 1) + 1))
    net.fc = torch.nn.Identity()
    net.load_state_dict(load_file(os.path.join(folder, "model.safetensors")), strict=True)
    return net.eval()
)",
      shape.bottleneck ? "Bottleneck" : "BasicBlock", encoder.features(), Json(shape.blocks).dump(),
      info.options.resnet.width, cifar ? "3, 1, 1" : "7, 2, 3", cifar ? "\n    net.maxpool = torch.nn.Identity()" : "");
}

// A ViT whose layer norms add something else to the variance than timm's.
std::string timm_program(Encoder& encoder, const VisionTransformer& vit, const EncoderInfo& info) {
  return fmt::format(
      R"(# The encoder of this folder, built from timm's parts: net = model.load("FOLDER")
import json
import os
import timm
import torch
from safetensors.torch import load_file


def load(folder=os.path.dirname(os.path.abspath(__file__))):
    """Images (N, 3, H, W), normalised as preprocessor_config.json says, give features (N, {0})."""
    net = timm.create_model("vit_base_patch16_224", num_classes=0, **json.loads('{1}'))
    for part in net.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.eps = {2}
    net.load_state_dict(load_file(os.path.join(folder, "model.safetensors")), strict=True)
    return net.eval()
)",
      encoder.features(), vit_arguments(vit, info).dump(), info.options.vit.epsilon);
}

// Ours and theirs of a block, whose query, key and value are three matrices there.
struct Renamed {
  const char *ours, *theirs;
};
constexpr Renamed block_names[] = {{"norm1.", "layernorm_before."},
                                   {"norm2.", "layernorm_after."},
                                   {"attn.proj.", "attention.output.dense."},
                                   {"mlp.fc1.", "intermediate.dense."},
                                   {"mlp.fc2.", "output.dense."}};

void add_block_part(std::vector<NamedTensor>& to, const std::string& prefix, const std::string& name,
                    const Tensor& value) {
  constexpr std::string_view fused = "attn.qkv.";
  if (name.starts_with(fused)) {
    const int64_t rows = value.dim(0) / 3;
    const char* roles[] = {"query", "key", "value"};
    for (int64_t i = 0; i < 3; ++i)
      to.push_back({prefix + "attention.attention." + roles[i] + "." + name.substr(fused.size()),
                    value.slice(i * rows, (i + 1) * rows)});
    return;
  }
  for (const auto& [ours, theirs] : block_names)
    if (name.starts_with(ours)) to.push_back({prefix + theirs + name.substr(std::string_view(ours).size()), value});
}

// "3.norm1.weight" → "3." and "norm1.weight".
std::pair<std::string, std::string> split_block(const std::string& name) {
  const size_t dot = name.find('.') + 1;
  return {name.substr(0, dot), name.substr(dot)};
}

// The names of transformers' ViTMAEForPreTraining.
std::vector<NamedTensor> autoencoder_tensors(Encoder& encoder, MaskedDecoder& decoder) {
  std::vector<NamedTensor> tensors;
  const std::string blocks = "blocks.", decoder_blocks = "decoder_blocks.";
  for (const NamedTensor& t : exported_tensors(encoder)) {
    if (t.name.starts_with(blocks)) {
      const auto [block, name] = split_block(t.name.substr(blocks.size()));
      add_block_part(tensors, "vit.encoder.layer." + block, name, t.tensor);
    } else if (t.name.starts_with("norm.")) {
      tensors.push_back({"vit.layernorm." + t.name.substr(5), t.tensor});
    } else if (t.name.starts_with("patch_embed.proj.")) {
      tensors.push_back({"vit.embeddings.patch_embeddings.projection." + t.name.substr(17), t.tensor});
    } else {
      tensors.push_back(
          {t.name == "pos_embed" ? "vit.embeddings.position_embeddings" : "vit.embeddings." + t.name, t.tensor});
    }
  }
  for (const NamedPart& p : parts(decoder)) {
    const Tensor value = p.tensor.detach();
    if (p.name.starts_with(decoder_blocks)) {
      const auto [block, name] = split_block(p.name.substr(decoder_blocks.size()));
      add_block_part(tensors, "decoder.decoder_layers." + block, name, value);
    } else {
      tensors.push_back({"decoder." + p.name, value});
    }
  }
  return tensors;
}

}  // namespace

std::string not_in_timm(const Encoder& encoder, const EncoderInfo& info) {
  if (dynamic_cast<const VisionTransformer*>(&encoder))
    return info.options.vit.epsilon == VitOptions().epsilon
               ? ""
               : fmt::format("{} with {} in its layer norms", info.options.model, info.options.vit.epsilon);
  if (!dynamic_cast<const ResNet*>(&encoder)) return info.options.model;
  std::string lacks;
  if (info.options.resnet.stem == "cifar" || (info.options.resnet.stem == "auto" && info.image_size <= 64))
    lacks = "a 3x3 first convolution";
  if (const int64_t width = info.options.resnet.width; width != 64)
    lacks += (lacks.empty() ? "" : " and ") + fmt::format("a width of {}", width);
  return lacks.empty() ? lacks : info.options.model + " with " + lacks;
}

void save_encoder_folder(const std::string& folder, Encoder& encoder, const EncoderInfo& info) {
  std::filesystem::create_directories(folder);
  for (const char* other : {program_file, autoencoder_file})  // of an encoder that was here before
    std::filesystem::remove(in(folder, other));
  save_encoder(in(folder, weights_file), encoder, info);
  const Json processor = processor_of(info);
  write_json(in(folder, processor_file), processor);
  const std::string lacks = not_in_timm(encoder, info);
  if (lacks.empty()) {
    write_json(in(folder, config_file), timm_config(encoder, info));
    return;
  }
  write_json(in(folder, config_file), {{"architecture", lacks + ", which timm does not have: see README.md"},
                                       {"model_type", lacks + ", which transformers does not have: see README.md"},
                                       {"num_features", encoder.features()},
                                       {"image_size", info.image_size}});
  if (const auto* vit = dynamic_cast<const VisionTransformer*>(&encoder))
    write_file_atomically(in(folder, program_file), timm_program(encoder, *vit, info));
  else if (dynamic_cast<const ResNet*>(&encoder))
    write_file_atomically(in(folder, program_file), torchvision_program(encoder, info));
}

void add_masked_autoencoder(const std::string& folder, Encoder& encoder, const EncoderInfo& info,
                            const MaskedAutoencoder& autoencoder) {
  const auto* vit = dynamic_cast<const VisionTransformer*>(&encoder);
  check(vit && vit->first_patch() == 1,
        "[export] got an autoencoder whose encoder is {}, expected a ViT with a class "
        "token",
        info.options.model);
  if (!not_in_timm(encoder, info).empty()) return;
  const VitShape& shape = shape_of(vit_shapes(), info.options.model);
  Metadata metadata = info.notes;
  metadata["format"] = "pt";
  write_safetensors(in(folder, autoencoder_file), autoencoder_tensors(encoder, autoencoder.decoder), metadata);
  Json config = timm_config(encoder, info);
  config.update(Json{{"architectures", {"ViTMAEForPreTraining"}},
                     {"model_type", "vit_mae"},
                     {"transformers_weights", autoencoder_file},
                     {"image_size", info.image_size},
                     {"patch_size", vit->patch()},
                     {"num_channels", 3},
                     {"hidden_size", shape.width},
                     {"num_hidden_layers", shape.depth},
                     {"num_attention_heads", shape.heads},
                     {"intermediate_size", 4 * shape.width},
                     {"hidden_act", "gelu"},
                     {"hidden_dropout_prob", 0.0},
                     {"attention_probs_dropout_prob", 0.0},
                     {"layer_norm_eps", info.options.vit.epsilon},
                     {"qkv_bias", true},
                     {"decoder_hidden_size", autoencoder.options.width},
                     {"decoder_num_hidden_layers", autoencoder.options.depth},
                     {"decoder_num_attention_heads", autoencoder.options.heads},
                     {"decoder_intermediate_size", 4 * autoencoder.options.width},
                     {"mask_ratio", autoencoder.mask_ratio},
                     {"norm_pix_loss", autoencoder.norm_pixels}});
  config.update(processor_of(info));  // AutoImageProcessor looks here where a folder is timm's too
  write_json(in(folder, config_file), config);
}

}  // namespace gestalt
