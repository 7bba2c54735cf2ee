// Numbers that change from one training step to the next, while everything else that kernels are told stays.
#pragma once

#include "kernels/launch.h"

namespace gestalt::kernels {

// A number as it is, or a place in the device's memory where kernels find it when they run. A captured graph, which
// repeats launches with the arguments they had, sees new numbers through places only.
template <class T>
struct Varying {
  T value{};
  const T* place = nullptr;

  Varying() = default;
  Varying(T value) : value(value) {}
  static Varying at(const void* place) {
    Varying v;
    v.place = static_cast<const T*>(place);
    return v;
  }
  GESTALT_HOST_DEVICE T now() const { return place ? *place : value; }
};

// Writes the first `bytes` of `words` to y. They travel with the launch, so that the host waits for no copy.
struct SetVarying {
  Out y;  // u8
  uint64_t words[4];
  int64_t bytes;
};
GESTALT_KERNEL(SetVarying)
inline Cost cost(const SetVarying& k) { return {.bytes = real(k.bytes)}; }

}  // namespace gestalt::kernels
