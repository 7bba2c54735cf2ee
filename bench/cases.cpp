// The list of training steps, filled as the program starts.
#include "bench/cases.h"

#include <algorithm>

#include "kernels/check.h"

namespace gestalt::bench {
namespace {

std::vector<TrainingCase>& registry() {
  static std::vector<TrainingCase> cases;
  return cases;
}

}  // namespace

const std::vector<TrainingCase>& training_cases() { return registry(); }

RegisterCase::RegisterCase(const char* name, std::string_view text) {
  check(text.starts_with("# "), "[case] {}.conf has no first line '# summary'", name);
  TrainingCase made{name, std::string(text.substr(2, text.find('\n') - 2)), std::string(text)};
  std::vector<TrainingCase>& all = registry();
  all.insert(std::upper_bound(all.begin(), all.end(), made,
                              [](const TrainingCase& a, const TrainingCase& b) { return a.name < b.name; }),
             std::move(made));
}

}  // namespace gestalt::bench
