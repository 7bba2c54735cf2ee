// The watch for a collapse: rows of metrics.csv against the signs that a method names.
#pragma once

#include <string>

#include "tasks/training/checkpoint.h"
#include "tasks/training/method.h"

namespace gestalt {

class CollapseGuard {
 public:
  // What to say of a row, or nothing. A collapse is said once: one odd batch is none, two rows are. Of several signs
  // the method's last is said, which is its own.
  std::string look_at(const MetricsRow& row, const Method& method);

  bool collapsed() const { return collapsed_; }
  const std::string& cure() const { return cure_; }  // of the last sign; empty if there was none

 private:
  int64_t rows_ = 0;  // in a row
  bool collapsed_ = false;
  std::string cure_;
};

}  // namespace gestalt
