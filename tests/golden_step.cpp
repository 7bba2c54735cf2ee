// Formula-made parameters and the comparison with recorded projections.
#include "tests/golden_step.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/run/files.h"
#include "kernels/check.h"
#include "tests/source_path.h"

namespace gestalt::test {
namespace {

// (O, KH, KW, I) → OIHW order, as PyTorch keeps filters; other ranks as they are.
std::vector<double> torch_order(const Shape& shape, const std::vector<double>& values, bool to_torch) {
  if (shape.rank() != 4) return values;
  const int64_t o = shape[0], area = shape[1] * shape[2], in = shape[3];
  std::vector<double> result(values.size());
  for (int64_t a = 0; a < o; ++a)
    for (int64_t k = 0; k < area; ++k)
      for (int64_t c = 0; c < in; ++c) {
        const int64_t ours = (a * area + k) * in + c, torchs = (a * in + c) * area + k;
        result[to_torch ? torchs : ours] = values[to_torch ? ours : torchs];
      }
  return result;
}

}  // namespace

std::vector<double> hash_uniform(const std::string& name, int64_t count) {
  uint32_t seed = 2166136261u;
  for (unsigned char c : name) seed = (seed ^ c) * 16777619u;
  std::vector<double> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    uint32_t x = static_cast<uint32_t>(i) * 0x9E3779B9u + seed;
    x ^= x >> 16;
    x *= 0x85EBCA6Bu;
    x ^= x >> 13;
    x *= 0xC2B2AE35u;
    x ^= x >> 16;
    values[i] = x / 4294967296.0 - 0.5;
  }
  return values;
}

void fill_by_formula(const std::string& name, Tensor part) {
  const Shape& shape = part.shape();
  std::vector<double> values = hash_uniform(name, shape.count());
  for (double& v : values) {
    if (shape.rank() > 1)
      v *= std::sqrt(24.0 * static_cast<double>(shape[0]) / static_cast<double>(shape.count()));
    else
      v = name.ends_with("weight") ? 1 + 0.2 * v : 0.2 * v;
  }
  part.copy_from(Tensor::from(torch_order(shape, values, false), shape));
}

void fill_by_formula(Module& module) {
  for (const NamedPart& p : parts(module))
    if (p.trained) fill_by_formula(p.name, p.tensor);
}

const Json& golden_record(const std::string& file) {
  static std::map<std::string, Json> records;
  const auto found = records.find(file);
  if (found != records.end()) return found->second;
  return records.emplace(file, parse_json("test", read_text(source_path("tests/golden/" + file)))).first->second;
}

std::vector<double> golden_values(const std::string& file, const std::string& key) {
  return golden_record(file).at(key).get<std::vector<double>>();
}

double golden_error(const std::string& name, const Tensor& tensor, const Json& summary, double floor) {
  const std::vector<double> values = torch_order(tensor.shape(), tensor.values64(), true);
  const auto& expected = summary.at("projections");
  double squared = 0;
  for (size_t j = 0; j < expected.size(); ++j) {
    const std::vector<double> u = hash_uniform(name + "#" + std::to_string(j), static_cast<int64_t>(values.size()));
    double dot = 0;
    for (size_t i = 0; i < values.size(); ++i) dot += values[i] * u[i];
    squared += std::pow(dot - expected[j].get<double>(), 2);
  }
  return std::sqrt(12 * squared / static_cast<double>(expected.size())) /
         std::max(floor, summary.at("norm").get<double>());
}

std::vector<GradientError> compare_gradients(const Json& recorded, const NamedGradients& gradients) {
  // A bias before a batch norm has no gradient but rounding: errors below a 10,000th of the whole gradient count so.
  double squared_norm = 0;
  for (const auto& g : recorded) squared_norm += std::pow(g.at("norm").get<double>(), 2);
  const double floor = 1e-4 * std::sqrt(squared_norm);
  std::vector<GradientError> errors;
  for (const auto& [name, gradient] : gradients) {
    check(recorded.contains(name), "[golden] the record has no gradient of {}", name);
    errors.push_back({name, golden_error(name, gradient, recorded.at(name), floor)});
  }
  check(errors.size() == recorded.size(), "[golden] the record has {} gradients, the method {}", recorded.size(),
        errors.size());
  return errors;
}

}  // namespace gestalt::test
