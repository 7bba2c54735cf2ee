// A graph of ONNX, node by node, and its file. Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/run/protobuf.h"
#include "engine/tensor/tensor.h"

namespace gestalt {

enum class OnnxType { f32 = 1, u8 = 2, i64 = 7 };
// The length of an axis, or the name of one that may have any.
using OnnxAxis = std::variant<int64_t, std::string>;
using OnnxShape = std::vector<OnnxAxis>;

struct OnnxScalar {  // a tensor of one f32
  float value;
};
struct OnnxAttribute {
  std::string name;
  std::variant<int64_t, float, std::vector<int64_t>, OnnxScalar> value;
};

// Values are known by their names, which the graph makes up. Operators are those of opset 17.
class OnnxGraph {
 public:
  explicit OnnxGraph(std::string name) : name_(std::move(name)) {}

  std::string input(const std::string& name, OnnxType type, const OnnxShape& shape);
  void output(const std::string& name, const std::string& value, OnnxType type, const OnnxShape& shape);

  std::string constant(const std::string& name, const Tensor& value);  // f32, kept under its name
  std::string number(float value);                                     // a scalar
  std::string integer(int64_t value);                                  // a scalar
  std::string integers(const std::vector<int64_t>& values);            // one axis

  std::string node(const std::string& op, const std::vector<std::string>& inputs,
                   const std::vector<OnnxAttribute>& attributes = {});

  // Writes the file, all or nothing. `metadata` are texts that go with it. Throws Error for a graph of 2 GiB or more,
  // which the format cannot hold.
  void save(const std::string& path, const std::map<std::string, std::string>& metadata) const;
  std::string bytes(const std::map<std::string, std::string>& metadata) const;

 private:
  std::string keep(const std::string& name, OnnxType type, const std::vector<int64_t>& shape, std::string_view data);

  std::string name_;
  Message nodes_, constants_, inputs_, outputs_;
  std::map<std::string, std::string> shared_;  // small constants that are there, by what they are
  std::map<std::string, int> made_;            // of each operator, for names
};

}  // namespace gestalt
