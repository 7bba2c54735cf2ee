// The graphs of our models.
#include "models/onnx.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "engine/data/images/augment.h"
#include "models/dcgan.h"
#include "models/onnx_graph.h"
#include "models/resnet.h"
#include "models/vit.h"

namespace gestalt {
namespace {

using Value = std::string;
using Tensors = std::map<std::string, Tensor>;

constexpr float batch_norm_epsilon = 1e-5f;

Tensor transposed(const Tensor& matrix) {  // (out, in) → (in, out)
  const Tensor source = matrix.detach().to(Device::cpu).to(DType::f32);
  const int64_t rows = source.dim(0), columns = source.dim(1);
  Tensor result = Tensor::empty({columns, rows});
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) result.data<float>()[j * rows + i] = source.data<float>()[i * columns + j];
  return result;
}

// A graph that is written layer by layer from parts by name.
struct Writer {
  OnnxGraph graph;
  Tensors parts;

  Value part(const std::string& name) { return graph.constant(name, parts.at(name)); }
  Value binary(const char* op, const Value& a, const Value& b) { return graph.node(op, {a, b}); }

  Value conv(const Value& x, const std::string& name, int64_t stride, int64_t padding, bool bias = false) {
    const Tensor& filter = parts.at(name + ".weight");
    std::vector<Value> inputs{x, part(name + ".weight")};
    if (bias) inputs.push_back(part(name + ".bias"));
    return graph.node("Conv", inputs,
                      {{"kernel_shape", std::vector<int64_t>{filter.dim(2), filter.dim(3)}},
                       {"pads", std::vector<int64_t>(4, padding)},
                       {"strides", std::vector<int64_t>{stride, stride}}});
  }
  Value batch_norm(const Value& x, const std::string& name) {
    return graph.node(
        "BatchNormalization",
        {x, part(name + ".weight"), part(name + ".bias"), part(name + ".running_mean"), part(name + ".running_var")},
        {{"epsilon", batch_norm_epsilon}});
  }
  Value relu(const Value& x) { return graph.node("Relu", {x}); }
  Value linear(const Value& x, const std::string& name) {
    const Value weight = graph.constant(name + ".weight", transposed(parts.at(name + ".weight")));
    return binary("Add", binary("MatMul", x, weight), part(name + ".bias"));
  }
  Value layer_norm(const Value& x, const std::string& name, double epsilon) {
    return graph.node("LayerNormalization", {x, part(name + ".weight"), part(name + ".bias")},
                      {{"axis", int64_t{-1}}, {"epsilon", static_cast<float>(epsilon)}});
  }
  Value reshape(const Value& x, const std::vector<int64_t>& shape) {  // 0: as it is
    return binary("Reshape", x, graph.integers(shape));
  }
  Value transpose(const Value& x, const std::vector<int64_t>& order) {
    return graph.node("Transpose", {x}, {{"perm", order}});
  }
  Value length(const Value& x, int64_t axis) {  // (1)
    return graph.node("Shape", {x}, {{"start", axis}, {"end", axis + 1}});
  }
};

Value gelu(Writer& w, const Value& x) {  // x·Φ(x)
  const Value inner = w.graph.node("Erf", {w.binary("Mul", x, w.graph.number(static_cast<float>(std::sqrt(0.5))))});
  const Value half = w.binary("Mul", x, w.graph.number(0.5f));
  return w.binary("Mul", half, w.binary("Add", inner, w.graph.number(1)));
}

Value gelu_tanh(Writer& w, const Value& x) {  // x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
  const Value cube = w.binary("Mul", w.binary("Mul", x, x), x);
  const Value sum = w.binary("Add", x, w.binary("Mul", cube, w.graph.number(0.044715f)));
  constexpr double pi = 3.14159265358979323846;
  const Value inner =
      w.graph.node("Tanh", {w.binary("Mul", sum, w.graph.number(static_cast<float>(std::sqrt(2 / pi))))});
  return w.binary("Mul", w.binary("Mul", x, w.graph.number(0.5f)), w.binary("Add", inner, w.graph.number(1)));
}

struct BlockShape {
  int64_t width, heads;
  double epsilon;
  bool gelu_tanh;
};

// TransformerBlock; `mask` is added to the scores, where there is one.
Value block(Writer& w, const Value& x, const std::string& name, const BlockShape& s, const Value& mask) {
  const Value rows = w.linear(w.layer_norm(x, name + ".norm1", s.epsilon), name + ".attn.qkv");
  const Value split = w.transpose(w.reshape(rows, {0, 0, 3, s.heads, s.width / s.heads}), {2, 0, 3, 1, 4});
  const auto role = [&](int64_t i) {  // (B, heads, T, D)
    return w.graph.node("Gather", {split, w.graph.integer(i)}, {{"axis", int64_t{0}}});
  };
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.width / s.heads)));
  const Value queries = w.binary("Mul", role(0), w.graph.number(scale));
  Value scores = w.binary("MatMul", queries, w.transpose(role(1), {0, 1, 3, 2}));
  if (!mask.empty()) scores = w.binary("Add", scores, mask);
  const Value shares = w.graph.node("Softmax", {scores}, {{"axis", int64_t{-1}}});
  const Value attended = w.transpose(w.binary("MatMul", shares, role(2)), {0, 2, 1, 3});
  const Value sum = w.binary("Add", x, w.linear(w.reshape(attended, {0, 0, s.width}), name + ".attn.proj"));
  const Value hidden = w.linear(w.layer_norm(sum, name + ".norm2", s.epsilon), name + ".mlp.fc1");
  const Value bent = s.gelu_tanh ? gelu_tanh(w, hidden) : gelu(w, hidden);
  return w.binary("Add", sum, w.linear(bent, name + ".mlp.fc2"));
}

Value resnet(Writer& w, const Value& images) {
  const bool cifar = w.parts.at("conv1.weight").dim(2) == 3;
  const bool bottleneck = w.parts.contains("layer1.0.conv3.weight");
  Value x = w.relu(w.batch_norm(w.conv(images, "conv1", cifar ? 1 : 2, cifar ? 1 : 3), "bn1"));
  if (!cifar)
    x = w.graph.node("MaxPool", {x},
                     {{"kernel_shape", std::vector<int64_t>{3, 3}},
                      {"pads", std::vector<int64_t>(4, 1)},
                      {"strides", std::vector<int64_t>{2, 2}}});
  for (int stage = 1; stage <= 4; ++stage)
    for (int i = 0; w.parts.contains(fmt::format("layer{}.{}.conv1.weight", stage, i)); ++i) {
      const std::string name = fmt::format("layer{}.{}", stage, i);
      const int64_t stride = stage > 1 && i == 0 ? 2 : 1;
      Value shortcut = x, y = x;
      if (w.parts.contains(name + ".downsample.0.weight"))
        shortcut = w.batch_norm(w.conv(x, name + ".downsample.0", stride, 0), name + ".downsample.1");
      for (int c = 1; c <= (bottleneck ? 3 : 2); ++c) {
        const bool narrow = bottleneck && c != 2;
        const int64_t step = c == (bottleneck ? 2 : 1) ? stride : 1;
        y = w.batch_norm(w.conv(y, fmt::format("{}.conv{}", name, c), step, narrow ? 0 : 1),
                         fmt::format("{}.bn{}", name, c));
        if (c < (bottleneck ? 3 : 2)) y = w.relu(y);
      }
      x = w.relu(w.binary("Add", y, shortcut));
    }
  return w.graph.node("Flatten", {w.graph.node("GlobalAveragePool", {x})}, {{"axis", int64_t{1}}});
}

Value vit(Writer& w, const Value& images, const VisionTransformer& model, const EncoderOptions& options) {
  BlockShape s{.width = model.features(), .heads = 0, .epsilon = options.vit.epsilon, .gelu_tanh = false};
  for (const VitShape& shape : vit_shapes())
    if (shape.name == options.model) s.heads = shape.heads;
  const Value map = w.conv(images, "patch_embed.proj", model.patch(), 0, true);
  Value x = w.transpose(w.reshape(map, {0, 0, -1}), {0, 2, 1});
  if (model.first_patch() == 1) {
    const Value shape =
        w.graph.node("Concat", {w.length(x, 0), w.graph.integers({1, s.width})}, {{"axis", int64_t{0}}});
    x = w.graph.node("Concat", {w.binary("Expand", w.part("cls_token"), shape), x}, {{"axis", int64_t{1}}});
  }
  x = w.binary("Add", x, w.part("pos_embed"));
  for (int64_t i = 0; i + 1 < model.layers(); ++i) x = block(w, x, fmt::format("blocks.{}", i), s, "");
  x = w.layer_norm(x, "norm", s.epsilon);
  if (options.vit.pool == "cls") return w.graph.node("Gather", {x, w.graph.integer(0)}, {{"axis", int64_t{1}}});
  if (model.first_patch() == 1)
    x = w.graph.node("Slice", {x, w.graph.integers({1}), w.graph.integers({std::numeric_limits<int64_t>::max()}),
                               w.graph.integers({1})});  // from, to, along the axis
  return w.graph.node("ReduceMean", {x}, {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}});
}

Value dcgan(Writer& w, const Value& images) {
  const auto bend = [&](const Value& x) { return w.graph.node("LeakyRelu", {x}, {{"alpha", 0.2f}}); };
  Value x = bend(w.conv(images, "convs.0", 2, 1));
  for (int i = 0; w.parts.contains(fmt::format("norms.{}.weight", i)); ++i)
    x = bend(w.batch_norm(w.conv(x, fmt::format("convs.{}", i + 1), 2, 1), fmt::format("norms.{}", i)));
  x = w.graph.node("AveragePool", {x},
                   {{"kernel_shape", std::vector<int64_t>{2, 2}}, {"strides", std::vector<int64_t>{2, 2}}});
  return w.graph.node("Flatten", {w.transpose(x, {0, 2, 3, 1})}, {{"axis", int64_t{1}}});
}

// (batch, 3, height, width), normalised.
Value normalised(Writer& w, OnnxInput input, const OnnxAxis& height, const OnnxAxis& width, const Normalisation& n) {
  Value x;
  if (input == OnnxInput::pixels) {
    x = w.graph.input("images", OnnxType::u8, {"batch", height, width, int64_t{3}});
    x = w.graph.node("Cast", {x}, {{"to", static_cast<int64_t>(OnnxType::f32)}});
    x = w.binary("Div", w.transpose(x, {0, 3, 1, 2}), w.graph.number(255));
  } else {
    x = w.graph.input("images", OnnxType::f32, {"batch", int64_t{3}, height, width});
  }
  const auto channels = [](const float* values) {
    return Tensor::from(std::span<const float>(values, 3), {1, 3, 1, 1});
  };
  x = w.binary("Sub", x, w.graph.constant("mean", channels(n.mean)));
  return w.binary("Div", x, w.graph.constant("std", channels(n.std)));
}

}  // namespace

void save_onnx(const std::string& path, Encoder& encoder, const EncoderInfo& info, OnnxInput input) {
  Writer w{OnnxGraph(info.options.model), {}};
  for (const NamedTensor& t : exported_tensors(encoder)) w.parts.emplace(t.name, t.tensor);
  const bool any_size = dynamic_cast<const ResNet*>(&encoder) != nullptr;
  const auto axis = [&](const char* name) { return any_size ? OnnxAxis(name) : OnnxAxis(info.image_size); };
  const auto normalise = info.notes.find("gestalt.normalise");
  const Value images = normalised(w, input, axis("height"), axis("width"),
                                  normalisation(normalise == info.notes.end() ? "none" : normalise->second));
  Value features;
  if (any_size)
    features = resnet(w, images);
  else if (const auto* transformer = dynamic_cast<const VisionTransformer*>(&encoder))
    features = vit(w, images, *transformer, info.options);
  else if (dynamic_cast<const DcganDiscriminator*>(&encoder))
    features = dcgan(w, images);
  else
    fail("[onnx] got the encoder '{}', expected one of 'gestalt list models'", info.options.model);
  w.graph.output("features", features, OnnxType::f32, {"batch", encoder.features()});
  Metadata metadata = info.notes;
  metadata.erase("format");
  metadata["gestalt.image_size"] = std::to_string(info.image_size);
  w.graph.save(path, metadata);
}

void save_onnx(const std::string& path, Gpt& model, const std::map<std::string, std::string>& notes) {
  Writer w{OnnxGraph("gpt2"), {}};
  for (const NamedPart& p : parts(model)) w.parts.emplace(p.name, p.tensor);
  const GptOptions& o = model.options();
  OnnxGraph& g = w.graph;
  const Value ids = g.input("input_ids", OnnxType::i64, {"batch", "sequence"});
  const Value table = g.constant("wte.weight", w.parts.at("wte.weight").detach().slice(0, model.vocabulary()));
  const Value length = w.length(ids, 1), zero = g.integers({0});
  const Value positions = g.node("Slice", {w.part("wpe.weight"), zero, length, zero});
  Value x = w.binary("Add", g.node("Gather", {table, ids}, {{"axis", int64_t{0}}}), positions);
  const Value square = g.node("Concat", {length, length}, {{"axis", int64_t{0}}});
  const Value none = g.node("ConstantOfShape", {square}, {{"value", OnnxScalar{std::numeric_limits<float>::lowest()}}});
  const Value mask = g.node("Trilu", {none, g.integer(1)}, {{"upper", int64_t{1}}});  // what comes later
  const BlockShape s{.width = o.width, .heads = o.heads, .epsilon = o.epsilon, .gelu_tanh = true};
  for (int64_t i = 0; i < o.layers; ++i) x = block(w, x, fmt::format("h.{}", i), s, mask);
  x = w.layer_norm(x, "ln_f", o.epsilon);
  const Value logits = w.binary("MatMul", x, w.transpose(table, {1, 0}));
  g.output("logits", logits, OnnxType::f32, {"batch", "sequence", model.vocabulary()});
  g.save(path, notes);
}

}  // namespace gestalt
