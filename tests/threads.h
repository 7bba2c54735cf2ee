// Teams of other sizes for the time of a test.
#pragma once

#include "kernels/cpu/team.h"

namespace gestalt::test {

// While it lives, kernels have so many threads.
class Threads {
 public:
  explicit Threads(int count) { kernels::cpu::set_team_size(count); }
  ~Threads() { kernels::cpu::set_team_size(before_); }
  Threads(const Threads&) = delete;

 private:
  int before_ = kernels::cpu::team_size();
};

}  // namespace gestalt::test
