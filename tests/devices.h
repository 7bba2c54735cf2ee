// The devices that this build's tests run on.
#pragma once

#include <vector>

#include "kernels/launch.h"

namespace gestalt::test {

inline constexpr bool without_cuda = !kernels::built_with_cuda;

// The CPU and, where it is built in, CUDA: a real device or the emulated one.
inline std::vector<Device> devices() {
  if (without_cuda) return {Device::cpu};
  return {Device::cpu, Device::cuda};
}

}  // namespace gestalt::test
