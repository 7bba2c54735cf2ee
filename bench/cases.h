// The training steps that are timed: the files bench/cases/NAME.conf.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gestalt::bench {

// The first line is `# ` and a summary; then `method = NAME`, and the fields as a config file has them. The file
// bench/peers/NAME.py, where there is one, is the same step in PyTorch.
struct TrainingCase {
  std::string name, summary, text;
};

// Those that the program was built with, by name.
const std::vector<TrainingCase>& training_cases();

struct RegisterCase {
  RegisterCase(const char* name, std::string_view text);
};

}  // namespace gestalt::bench
