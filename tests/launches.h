// Launches: how often a kernel ran.
#pragma once

#include <string>
#include <utility>

#include "kernels/launch.h"

namespace gestalt::test {

// Counts launches of a kernel while it lives.
class Launches : public kernels::LaunchObserver {
 public:
  explicit Launches(std::string kernel) : kernel_(std::move(kernel)) { kernels::launch_observer = this; }
  ~Launches() override { kernels::launch_observer = nullptr; }
  void begin(const kernels::LaunchInfo& launch) override { count += launch.kernel == kernel_; }
  void end(Stream) override {}
  int count = 0;

 private:
  std::string kernel_;
};

}  // namespace gestalt::test
