// Numbers by the formula of tests/golden/formula.py, and the comparison with values that scripts recorded by
// projections.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/nn/module.h"
#include "engine/run/json.h"

namespace gestalt::test {

// `count` numbers in [-0.5, 0.5), the same as hash_uniform in tests/golden/formula.py.
std::vector<double> hash_uniform(const std::string& name, int64_t count);

// Sets a part to formula.py's `parameter` of its name. Filters are stored here as (O, KH, KW, I).
void fill_by_formula(const std::string& name, Tensor part);
void fill_by_formula(Module& module);  // every trained part

// The record tests/golden/FILE, kept for good: a range over a part of it outlives the call.
const Json& golden_record(const std::string& file);
// A list of numbers of the record.
std::vector<double> golden_values(const std::string& file, const std::string& key);

// Estimate of ‖Δx‖ / max(‖x‖, floor) from the projections that formula.py's `summary` recorded.
double golden_error(const std::string& name, const Tensor& values, const Json& summary, double floor = 0);

struct GradientError {
  std::string name;
  double error;  // ‖g‖ counts as no less than a 10,000th of the norm of all gradients together
};
using NamedGradients = std::vector<std::pair<std::string, Tensor>>;
// Of each gradient against the recorded ones. Throws Error unless they have the same names.
std::vector<GradientError> compare_gradients(const Json& recorded, const NamedGradients& gradients);

}  // namespace gestalt::test
