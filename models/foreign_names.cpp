// Renaming tensors of torchvision, timm and transformers.
#include "models/foreign_names.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>

namespace gestalt {
namespace {

using std::string;
using std::string_view;

// Takes `prefix` off the front, if it is there.
bool take(string_view& text, string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Takes "12." off the front.
std::optional<string> take_number(string_view& text) {
  const size_t dot = text.find('.');
  if (dot == 0 || dot == string_view::npos || dot > 4) return {};
  if (text.substr(0, dot).find_first_not_of("0123456789") != string_view::npos) return {};
  const string number(text.substr(0, dot));
  text.remove_prefix(dot + 1);
  return number;
}

struct Renamed {
  string_view theirs, ours;
};

// Ours, if `text` begins with one of theirs.
template <size_t count>
std::optional<string> renamed(string_view text, const std::array<Renamed, count>& names) {
  for (const auto& [theirs, ours] : names)
    if (text.starts_with(theirs)) return string(ours) + string(text.substr(theirs.size()));
  return {};
}

constexpr std::array vit_of_torchvision{Renamed{"class_token", "cls_token"}, Renamed{"conv_proj.", "patch_embed.proj."},
                                        Renamed{"encoder.pos_embedding", "pos_embed"}, Renamed{"encoder.ln.", "norm."}};
constexpr std::array block_of_torchvision{Renamed{"ln_1.", "norm1."},
                                          Renamed{"ln_2.", "norm2."},
                                          Renamed{"self_attention.in_proj_", "attn.qkv."},
                                          Renamed{"self_attention.out_proj.", "attn.proj."},
                                          Renamed{"mlp.0.", "mlp.fc1."},
                                          Renamed{"mlp.3.", "mlp.fc2."},
                                          Renamed{"mlp.linear_1.", "mlp.fc1."},
                                          Renamed{"mlp.linear_2.", "mlp.fc2."}};

constexpr std::array vit_of_transformers{
    Renamed{"embeddings.cls_token", "cls_token"}, Renamed{"embeddings.position_embeddings", "pos_embed"},
    Renamed{"embeddings.patch_embeddings.projection.", "patch_embed.proj."}, Renamed{"layernorm.", "norm."}};
// The parts of a fused matrix keep a mark of which they are.
constexpr std::array block_of_transformers{Renamed{"layernorm_before.", "norm1."},
                                           Renamed{"layernorm_after.", "norm2."},
                                           Renamed{"attention.attention.query.", "attn.qkv.0."},
                                           Renamed{"attention.attention.key.", "attn.qkv.1."},
                                           Renamed{"attention.attention.value.", "attn.qkv.2."},
                                           Renamed{"attention.q_proj.", "attn.qkv.0."},
                                           Renamed{"attention.k_proj.", "attn.qkv.1."},
                                           Renamed{"attention.v_proj.", "attn.qkv.2."},
                                           Renamed{"attention.output.dense.", "attn.proj."},
                                           Renamed{"attention.o_proj.", "attn.proj."},
                                           Renamed{"intermediate.dense.", "mlp.fc1."},
                                           Renamed{"output.dense.", "mlp.fc2."},
                                           Renamed{"mlp.", "mlp."}};

string torchvision_vit_name(string_view name) {
  string_view rest = name;
  if (take(rest, "encoder.layers.encoder_layer_"))
    if (const auto block = take_number(rest))
      if (const auto ours = renamed(rest, block_of_torchvision)) return "blocks." + *block + "." + *ours;
  return renamed(name, vit_of_torchvision).value_or(string(name));
}

string transformers_vit_name(string_view name) {
  take(name, "vit.");
  string_view rest = name;
  if (take(rest, "encoder.layer.") || take(rest, "layers."))
    if (const auto block = take_number(rest))
      if (const auto ours = renamed(rest, block_of_transformers)) return "blocks." + *block + "." + *ours;
  return renamed(name, vit_of_transformers).value_or(string(name));
}

// "convolution." or "normalization." and what follows.
std::optional<string> conv_or_norm(string_view rest, const string& conv, const string& norm) {
  if (take(rest, "convolution.")) return conv + string(rest);
  if (take(rest, "normalization.")) return norm + string(rest);
  return {};
}

string transformers_resnet_name(string_view name) {
  take(name, "resnet.");
  string_view rest = name;
  std::optional<string> ours;
  if (take(rest, "embedder.embedder.")) {
    ours = conv_or_norm(rest, "conv1.", "bn1.");
  } else if (take(rest, "encoder.stages.")) {
    const auto stage = take_number(rest);
    const auto block = take(rest, "layers.") ? take_number(rest) : std::nullopt;
    if (!stage || !block) return string(name);
    const string prefix = fmt::format("layer{}.{}.", std::stoi(*stage) + 1, *block);
    if (take(rest, "shortcut.")) {
      ours = conv_or_norm(rest, prefix + "downsample.0.", prefix + "downsample.1.");
    } else if (take(rest, "layer.")) {
      const auto layer = take_number(rest);
      if (!layer) return string(name);
      const int number = std::stoi(*layer) + 1;
      ours = conv_or_norm(rest, fmt::format("{}conv{}.", prefix, number), fmt::format("{}bn{}.", prefix, number));
    }
  }
  return ours.value_or(string(name));
}

bool is_head(const string& ours) {
  for (const char* head : {"fc.", "head.", "heads.", "classifier.", "pooler.", "decoder.", "decoder_", "mask_token",
                           "embeddings.mask_token", "pre_logits."})
    if (ours.starts_with(head)) return true;
  return false;
}

// The three parts of `name`, one below the other.
Tensor fused(const string& path, const string& name, const std::map<string, Tensor>& pieces) {
  std::vector<float> values;
  Shape shape;
  for (const char* part : {"0.", "1.", "2."}) {
    const size_t dot = name.rfind('.') + 1;
    const auto found = pieces.find(name.substr(0, dot) + part + name.substr(dot));
    check(found != pieces.end(), "[import] {} has only a part of {}", path, name);
    const std::vector<float> piece = found->second.values();
    values.insert(values.end(), piece.begin(), piece.end());
    shape = found->second.shape();
  }
  return shape.rank() == 2 ? Tensor::from(std::span<const float>(values), {3 * shape[0], shape[1]})
                           : Tensor::from(std::span<const float>(values), {static_cast<int64_t>(values.size())});
}

// What stands before an encoder's names, as "module." or "backbone.": what was wrapped around it, whose own tensors do
// not belong to it.
string prefix_of(const string& path, const SafetensorsFile& file) {
  std::set<string> prefixes;
  for (const NamedTensor& t : file.tensors)
    for (const string_view anchor :
         {"embeddings.patch_embeddings.projection.weight", "embedder.embedder.convolution.weight", "conv_proj.weight",
          "patch_embed.proj.weight", "layer1.0.conv1.weight"})
      if (t.name == anchor || t.name.ends_with("." + string(anchor)))
        prefixes.insert(t.name.substr(0, t.name.size() - anchor.size()));
  check(prefixes.size() <= 1,
        "[import] {0} holds several encoders, whose names begin with '{1}'; keep one, in Python: "
        "{{name: value for name, value in weights.items() if name.startswith('{2}')}}",
        path, fmt::join(prefixes, "', '"), prefixes.empty() ? "" : *prefixes.rbegin());
  return prefixes.empty() ? "" : *prefixes.begin();
}

}  // namespace

string name(Library library) {
  switch (library) {
    case Library::torchvision:
      return "torchvision";
    case Library::timm:
      return "timm";
    case Library::transformers:
      return "transformers";
    default:
      return "torchvision or timm";
  }
}

ForeignTensors foreign_tensors(const string& path, const SafetensorsFile& file) {
  const string prefix = prefix_of(path, file);
  ForeignTensors foreign;
  std::vector<string> names, of_file;
  for (const NamedTensor& t : file.tensors) {
    if (!t.name.starts_with(prefix)) {
      foreign.ignored.push_back(t.name);
      continue;
    }
    names.push_back(t.name.substr(prefix.size())), of_file.push_back(t.name);
  }
  const auto any = [&](string_view part) {
    return std::any_of(names.begin(), names.end(), [&](const string& n) { return n.ends_with(part); });
  };
  string (*rename)(string_view) = [](string_view name) { return string(name); };
  if (any("embeddings.patch_embeddings.projection.weight"))
    foreign.library = Library::transformers, foreign.vit = true, rename = transformers_vit_name;
  else if (any("embedder.embedder.convolution.weight"))
    foreign.library = Library::transformers, rename = transformers_resnet_name;
  else if (any("conv_proj.weight"))
    foreign.library = Library::torchvision, foreign.vit = true, rename = torchvision_vit_name;
  else if (any("patch_embed.proj.weight"))
    foreign.library = Library::timm, foreign.vit = true;
  else
    foreign.library = Library::torchvision_or_timm;
  check(!any("wte.weight"), "[import] {} holds a GPT, expected an encoder of images; say: gestalt evaluate text {}",
        path, path);
  check(foreign.vit || any("layer1.0.conv1.weight") || foreign.library == Library::transformers,
        "[import] {} is no ResNet or ViT with names of torchvision, timm or transformers; it begins with '{}'", path,
        names.empty() ? "" : names[0]);
  std::map<string, Tensor> pieces;
  for (size_t i = 0; i < names.size(); ++i) {
    const string ours = rename(names[i]);
    if (ours.ends_with("num_batches_tracked")) continue;
    if (is_head(ours)) {
      foreign.ignored.push_back(of_file[i]);
      continue;
    }
    const bool piece = ours.find("attn.qkv.") != string::npos && ours.rfind('.') > ours.find("attn.qkv.") + 9;
    auto& to = piece ? pieces : foreign.tensors;
    check(to.emplace(ours, file.at(of_file[i]).to(DType::f32)).second, "[import] {} has {} twice", path, ours);
  }
  for (const auto& [name, value] : pieces) {
    const size_t at = name.find("attn.qkv.") + 9;
    const string whole = name.substr(0, at) + name.substr(at + 2);
    if (!foreign.tensors.contains(whole)) foreign.tensors.emplace(whole, fused(path, whole, pieces));
  }
  return foreign;
}

}  // namespace gestalt
