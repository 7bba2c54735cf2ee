// Building and writing ONNX graphs.
#include "models/onnx_graph.h"

#include <fmt/format.h>

#include "engine/run/files.h"

namespace gestalt {
namespace {

// Numbers of fields in onnx.proto.
namespace model_field {
constexpr int ir_version = 1, producer_name = 2, graph = 7, opset_import = 8, metadata_props = 14;
}
namespace graph_field {
constexpr int node = 1, name = 2, initializer = 5, input = 11, output = 12;
}
namespace node_field {
constexpr int input = 1, output = 2, name = 3, op_type = 4, attribute = 5;
}
namespace attribute_field {
constexpr int name = 1, f = 2, i = 3, t = 5, ints = 8, type = 20;
}
namespace tensor_field {
constexpr int dims = 1, data_type = 2, name = 8, raw_data = 9;
}

constexpr uint64_t ir_version = 8, opset = 17;

// Repeated numbers are one field each: the format is older than packing.
Message tensor_of(const std::string& name, OnnxType type, const std::vector<int64_t>& shape, std::string_view data) {
  Message tensor;
  for (int64_t d : shape) tensor.integer(tensor_field::dims, static_cast<uint64_t>(d));
  tensor.integer(tensor_field::data_type, static_cast<uint64_t>(type));
  if (!name.empty()) tensor.bytes(tensor_field::name, name);
  return tensor.bytes(tensor_field::raw_data, data);
}

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

Message attribute_of(const OnnxAttribute& a) {
  enum Type { f = 1, i = 2, t = 4, ints = 7 };
  Message m;
  m.bytes(attribute_field::name, a.name);
  if (const auto* value = std::get_if<float>(&a.value))
    return m.real32(attribute_field::f, *value).integer(attribute_field::type, f);
  if (const auto* value = std::get_if<int64_t>(&a.value))
    return m.integer(attribute_field::i, static_cast<uint64_t>(*value)).integer(attribute_field::type, i);
  if (const auto* scalar = std::get_if<OnnxScalar>(&a.value))
    return m.message(attribute_field::t, tensor_of("", OnnxType::f32, {1}, bytes_of(scalar->value)))
        .integer(attribute_field::type, t);
  for (int64_t value : std::get<std::vector<int64_t>>(a.value))
    m.integer(attribute_field::ints, static_cast<uint64_t>(value));
  return m.integer(attribute_field::type, ints);
}

// ValueInfoProto: a name and its type, a tensor's.
Message value_of(const std::string& name, OnnxType type, const OnnxShape& shape) {
  constexpr int info_name = 1, info_type = 2, tensor_type = 1, elem_type = 1, tensor_shape = 2, dim = 1, dim_value = 1,
                dim_param = 2;
  Message axes;
  for (const OnnxAxis& axis : shape) {
    Message m;
    if (const auto* length = std::get_if<int64_t>(&axis))
      m.integer(dim_value, static_cast<uint64_t>(*length));
    else
      m.bytes(dim_param, std::get<std::string>(axis));
    axes.message(dim, m);
  }
  Message tensor, types, info;
  tensor.integer(elem_type, static_cast<uint64_t>(type)).message(tensor_shape, axes);
  types.message(tensor_type, tensor);
  return info.bytes(info_name, name).message(info_type, types);
}

}  // namespace

std::string OnnxGraph::input(const std::string& name, OnnxType type, const OnnxShape& shape) {
  inputs_.message(graph_field::input, value_of(name, type, shape));
  return name;
}

void OnnxGraph::output(const std::string& name, const std::string& value, OnnxType type, const OnnxShape& shape) {
  Message m;
  m.bytes(node_field::input, value).bytes(node_field::output, name).bytes(node_field::name, name + "_output");
  nodes_.message(graph_field::node, m.bytes(node_field::op_type, "Identity"));
  outputs_.message(graph_field::output, value_of(name, type, shape));
}

std::string OnnxGraph::keep(const std::string& name, OnnxType type, const std::vector<int64_t>& shape,
                            std::string_view data) {
  constants_.message(graph_field::initializer, tensor_of(name, type, shape, data));
  return name;
}

std::string OnnxGraph::constant(const std::string& name, const Tensor& value) {
  const Tensor t = value.detach().to(Device::cpu).to(DType::f32);
  std::vector<int64_t> shape;
  for (int64_t i = 0; i < t.rank(); ++i) shape.push_back(t.dim(i));
  return keep(name, OnnxType::f32, shape,
              {reinterpret_cast<const char*>(t.data<float>()), static_cast<size_t>(t.count()) * sizeof(float)});
}

std::string OnnxGraph::number(float value) {
  std::string& name = shared_[fmt::format("f{}", value)];
  if (name.empty()) name = keep(fmt::format("number_{}", value), OnnxType::f32, {}, bytes_of(value));
  return name;
}

std::string OnnxGraph::integer(int64_t value) {
  std::string& name = shared_[fmt::format("i{}", value)];
  if (name.empty()) name = keep(fmt::format("integer_{}", value), OnnxType::i64, {}, bytes_of(value));
  return name;
}

std::string OnnxGraph::integers(const std::vector<int64_t>& values) {
  std::string& name = shared_[fmt::format("l{}", fmt::join(values, ","))];
  if (name.empty())
    name =
        keep(fmt::format("integers_{}", fmt::join(values, "_")), OnnxType::i64, {static_cast<int64_t>(values.size())},
             {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int64_t)});
  return name;
}

std::string OnnxGraph::node(const std::string& op, const std::vector<std::string>& inputs,
                            const std::vector<OnnxAttribute>& attributes) {
  const std::string name = fmt::format("{}_{}", op, made_[op]++);
  Message m;
  for (const std::string& input : inputs) m.bytes(node_field::input, input);
  m.bytes(node_field::output, name).bytes(node_field::name, name).bytes(node_field::op_type, op);
  for (const OnnxAttribute& a : attributes) m.message(node_field::attribute, attribute_of(a));
  nodes_.message(graph_field::node, m);
  return name;
}

std::string OnnxGraph::bytes(const std::map<std::string, std::string>& metadata) const {
  Message name;
  name.bytes(graph_field::name, name_);
  const std::string* parts[] = {&nodes_.text(), &name.text(), &constants_.text(), &inputs_.text(), &outputs_.text()};
  uint64_t length = 0;
  for (const std::string* part : parts) length += part->size();
  check(length < (uint64_t{1} << 31) - (1 << 20),
        "[onnx] got a model of {} MiB, expected less than 2,048: the format "
        "holds no more in one file",
        length >> 20);
  Message head, tail, operators;
  head.integer(model_field::ir_version, ir_version).bytes(model_field::producer_name, "gestalt");
  head.begin(model_field::graph, length);
  tail.message(model_field::opset_import, operators.bytes(1, "").integer(2, opset));
  for (const auto& [key, value] : metadata) {
    Message entry;
    tail.message(model_field::metadata_props, entry.bytes(1, key).bytes(2, value));
  }
  std::string bytes = head.text();
  bytes.reserve(bytes.size() + length + tail.text().size());
  for (const std::string* part : parts) bytes += *part;
  return bytes += tail.text();
}

void OnnxGraph::save(const std::string& path, const std::map<std::string, std::string>& metadata) const {
  write_file_atomically(path, bytes(metadata));
}

}  // namespace gestalt
