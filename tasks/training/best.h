// The encoder of the best moment of a run, kept beside the last: by the probe or, without labels, by the effective
// rank.
#pragma once

#include <optional>
#include <string>

#include "tasks/training/checkpoint.h"

namespace gestalt {

// What --keep-best compares between rows of metrics.csv: a column, empty where nothing is kept.
struct BestBy {
  std::string column;
  bool less = false;  // whether the least is the best, as of a loss

  bool improves(double value, const Best& best) const {
    return best.step == 0 || (less ? value < best.value : value > best.value);
  }
};
BestBy best_by(const Method& method);

// Writes what the method exports, as it is now, into RUN/best, and best.json beside it: step, epoch, column, value.
// Throws Error where it cannot.
void write_best(Method& method, const std::string& run, const Best& best, double epoch, const BestBy& by);
// The step in RUN/best/best.json; 0 where there is none that can be read.
int64_t step_of_best(const std::string& run);

}  // namespace gestalt
