// Whole training steps against values that tests/golden/*.py recorded from PyTorch.
#pragma once

#include <string>
#include <vector>

#include "engine/nn/module.h"

namespace gestalt::test {

// `count` numbers in [-0.5, 0.5), the same as hash_uniform in tests/golden/formula.py.
std::vector<double> hash_uniform(const std::string& name, int64_t count);

// Sets every trained part to formula.py's `parameter` of its name. Filters are stored here as (O, KH, KW, I).
void fill_by_formula(Module& module);

struct GradientError {
  std::string name;
  double error;  // estimate of ‖Δg‖ / ‖g‖ from the recorded projections; ‖g‖ counts as no less than
                 // a 10,000th of the norm of all gradients together
};
// The same for the values of all of the module's parts, recorded under `key`.
std::vector<GradientError> compare_values(const std::string& file, const std::string& key, Module& module);

// Compares the gradients of the module's trained parts, and its loss, with the record tests/golden/FILE, or with what
// it has under `key`.
struct StepErrors {
  double loss;  // relative
  std::vector<GradientError> gradients;
  GradientError worst() const;
};
StepErrors compare_step(const std::string& file, double loss, Module& module, const std::string& key = {});
// A text value of the record, such as the name that its inputs were made from.
std::string golden_text(const std::string& file, const std::string& key);
// A list of numbers of the record.
std::vector<double> golden_values(const std::string& file, const std::string& key);

}  // namespace gestalt::test
