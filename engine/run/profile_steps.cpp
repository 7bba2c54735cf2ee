// Which steps a profiler looks at, and telling it.
#include "engine/run/profile_steps.h"

#include <charconv>

#include "kernels/check.h"
#if GESTALT_WITH_CUDA
#include "kernels/cuda/profiler.h"
#include "kernels/cuda/runtime.h"
#endif

namespace gestalt {

ProfileSteps profile_steps(const std::string& text) {
  ProfileSteps steps;
  const char* const end = text.data() + text.size();
  const auto [colon, one] = std::from_chars(text.data(), end, steps.first);
  const bool two = one == std::errc() && colon != end && *colon == ':';
  const auto [rest, other] = two ? std::from_chars(colon + 1, end, steps.last) : std::from_chars_result{end, one};
  check(two && other == std::errc() && rest == end && steps.first >= 1 && steps.last >= steps.first,
        "[profile-steps] got '{}', expected A:B, the first step and the last, from 1 on: 20:24", text);
  return steps;
}

void ProfileSteps::check_within(int64_t done, int64_t total, Device device) const {
  if (first == 0) return;
  check(first > done && last <= total, "[profile-steps] got {}:{}, expected steps from {} to {}, which the run makes",
        first, last, done + 1, total);
  check(device == Device::cuda,
        "[profile-steps] got {}:{} for a run on the CPU, expected --device cuda; on the CPU see gestalt_bench profile, "
        "or perf",
        first, last);
}

#if GESTALT_WITH_CUDA
ProfiledStep::ProfiledStep(const std::string& name, int64_t number, const ProfileSteps& asked)
    : last_(asked && number == asked.last) {
  if (asked && number == asked.first) kernels::cuda::start_profiler();
  kernels::cuda::push_range(name.c_str());
}
ProfiledStep::~ProfiledStep() {
  kernels::cuda::pop_range();
  if (last_) kernels::cuda::stop_profiler();
}
#else
ProfiledStep::ProfiledStep(const std::string&, int64_t, const ProfileSteps&) : last_(false) {}
ProfiledStep::~ProfiledStep() = default;
#endif

}  // namespace gestalt
