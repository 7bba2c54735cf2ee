// Formula-made parameters and the comparison of gradients by projections.
#include "tests/golden_step.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

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

// ‖Δx‖ / max(‖x‖, floor) of `values` (in PyTorch's order) from the projections that formula.py's `summary` recorded.
double projection_error(const std::string& name, const std::vector<double>& values, const nlohmann::json& summary,
                        double floor = 0) {
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

nlohmann::json read_record(const std::string& file) {
  const std::string path = std::string(GESTALT_SOURCE_DIR) + "/tests/golden/" + file;
  std::ifstream stream(path);
  check(stream.good(), "[golden] cannot read {}", path);
  return nlohmann::json::parse(stream);
}

}  // namespace

std::string golden_text(const std::string& file, const std::string& key) { return read_record(file).at(key); }
std::vector<double> golden_values(const std::string& file, const std::string& key) { return read_record(file).at(key); }

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

void fill_by_formula(Module& module) {
  for (NamedPart& p : parts(module)) {
    if (!p.trained) continue;
    const Shape& shape = p.tensor.shape();
    std::vector<double> values = hash_uniform(p.name, shape.count());
    for (double& v : values) {
      if (shape.rank() > 1)
        v *= std::sqrt(24.0 * static_cast<double>(shape[0]) / static_cast<double>(shape.count()));
      else
        v = p.name.ends_with("weight") ? 1 + 0.2 * v : 0.2 * v;
    }
    p.tensor.copy_from(Tensor::from(torch_order(shape, values, false), shape));
  }
}

GradientError StepErrors::worst() const {
  return *std::max_element(gradients.begin(), gradients.end(),
                           [](const GradientError& a, const GradientError& b) { return a.error < b.error; });
}

StepErrors compare_step(const std::string& file, double loss, Module& module, const std::string& key) {
  const auto whole = read_record(file);
  const auto& record = key.empty() ? whole : whole.at(key);
  StepErrors errors{std::abs(loss - record.at("loss").get<double>()) / std::abs(record.at("loss").get<double>()), {}};
  const auto& gradients = record.at("gradients");
  // A bias before a batch norm has no gradient but rounding: errors below a 10,000th of the whole gradient count so.
  double squared_norm = 0;
  for (const auto& g : gradients) squared_norm += std::pow(g.at("norm").get<double>(), 2);
  const double floor = 1e-4 * std::sqrt(squared_norm);
  for (const NamedPart& p : parts(module)) {
    if (!p.trained) continue;
    check(gradients.contains(p.name), "[golden] {} has no gradient of {}", file, p.name);
    const std::vector<double> g = torch_order(p.tensor.shape(), p.tensor.grad().values64(), true);
    errors.gradients.push_back({p.name, projection_error(p.name, g, gradients.at(p.name), floor)});
  }
  check(errors.gradients.size() == gradients.size(), "[golden] {} has {} gradients, the module {}", file,
        gradients.size(), errors.gradients.size());
  return errors;
}

std::vector<GradientError> compare_values(const std::string& file, const std::string& key, Module& module) {
  const auto record = read_record(file).at(key);
  std::vector<GradientError> errors;
  for (const NamedPart& p : parts(module)) {
    check(record.contains(p.name), "[golden] {} has no {} of {}", file, key, p.name);
    const std::vector<double> values = torch_order(p.tensor.shape(), p.tensor.values64(), true);
    errors.push_back({p.name, projection_error(p.name, values, record.at(p.name))});
  }
  check(errors.size() == record.size(), "[golden] {} has {} of {}, the module {}", file, record.size(), key,
        errors.size());
  return errors;
}

}  // namespace gestalt::test
