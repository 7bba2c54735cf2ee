// Runs on the device that must give the same bits each time.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <vector>

#if GESTALT_EMULATED
#include "tests/cuda_emulator/emulator.h"
#endif

namespace gestalt::test {

// Runs f on the device once per order, on a real device twice, and demands the same bits each time; returns them.
inline std::vector<float> in_every_order(const std::function<std::vector<float>()>& f) {
  const std::vector<float> first = f();
#if GESTALT_EMULATED
  const emulator::Order before = emulator::order();
  for (auto order : {emulator::Order::reverse, emulator::Order::random}) {
    emulator::set_order(order, 5);
    const std::vector<float> again = f();
    CHECK(std::memcmp(first.data(), again.data(), first.size() * sizeof(float)) == 0);
  }
  emulator::set_order(before);
#else
  const std::vector<float> again = f();
  CHECK(std::memcmp(first.data(), again.data(), first.size() * sizeof(float)) == 0);
#endif
  return first;
}

}  // namespace gestalt::test
