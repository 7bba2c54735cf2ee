// The kernels that are no differentiable ops, and so have no row in the test table, with their costs.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/memory.h"

namespace gestalt::bench {

struct KernelWork {
  std::function<void()> run;
  double bytes = 0, flops = 0;  // that it has to move and to compute at least
};

struct KernelCase {
  std::string name;
  std::vector<DType> dtypes;
  std::function<KernelWork(DType)> make;
};

const std::vector<KernelCase>& kernel_cases();

}  // namespace gestalt::bench
