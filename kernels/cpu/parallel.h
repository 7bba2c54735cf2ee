// Splitting a loop over the cores.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/team.h"

namespace gestalt::kernels::cpu {

// Calls f(begin, end) on disjoint ranges that cover [0, count), at most one per thread and none shorter than `grain`
// but the last. The split depends on the number of threads only, so sums per range are repeatable.
template <class F>
void parallel_ranges(int64_t count, int64_t grain, F&& f) {
  const int64_t most = std::max<int64_t>(1, count / std::max<int64_t>(1, grain));
  const int threads = static_cast<int>(most > 1 ? std::min<int64_t>(most, team_size()) : 1);
  if (threads <= 1) {
    if (count > 0) f(int64_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const int64_t parts = omp_get_num_threads(), part = omp_get_thread_num();
    const int64_t begin = count * part / parts, end = count * (part + 1) / parts;
    if (begin < end) f(begin, end);
  }
}

}  // namespace gestalt::kernels::cpu
