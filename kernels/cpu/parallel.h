// Splitting a loop into pieces that do not depend on who runs them, so that results do not either.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/team.h"

namespace gestalt::kernels::cpu {

// Calls f(i) for each i in [0, count), by the team: thousands at most, as each is taken by itself.
template <class F>
void parallel_pieces(int64_t count, F&& f) {
  const auto run = [](const void* what, int64_t piece) { (*static_cast<const std::remove_cvref_t<F>*>(what))(piece); };
  if (count == 1) return run(&f, 0);
  run_pieces(count, run, &f);
}

// Calls f(begin, end) on disjoint ranges that cover [0, count), none shorter than `grain` but where the count is, and
// at most 64: enough for the cores of a large machine, few enough that what f does once a range costs little.
template <class F>
void parallel_ranges(int64_t count, int64_t grain, F&& f) {
  const int64_t ranges = std::clamp<int64_t>(count / std::max<int64_t>(1, grain), 1, 64);
  if (count > 0) parallel_pieces(ranges, [&](int64_t i) { f(count * i / ranges, count * (i + 1) / ranges); });
}

}  // namespace gestalt::kernels::cpu
