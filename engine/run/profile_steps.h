// Steps of a run that a profiler outside of the program looks at.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/memory.h"

namespace gestalt {

// From `first` to `last`, both included and counted from 1; by default none.
struct ProfileSteps {
  int64_t first = 0, last = 0;

  explicit operator bool() const { return first > 0; }
  // Throws Error where a run on `device` that has made `done` of `total` steps does not make all of them.
  void check_within(int64_t done, int64_t total, Device device) const;
};

// Of "A:B". Throws Error for what is no such range.
ProfileSteps profile_steps(const std::string& text);

// A step while it is made: in a CUDA build a range of this name in a profiler's timeline. Profilers that were told to
// wait for it (nsys --capture-range=cudaProfilerApi, ncu --profile-from-start off) begin with the first step asked for
// and end with the last, when the device has done what comes before and when it has done all.
class ProfiledStep {
 public:
  ProfiledStep(const std::string& name, int64_t number, const ProfileSteps& asked);
  ~ProfiledStep();
  ProfiledStep(const ProfiledStep&) = delete;

 private:
  [[maybe_unused]] bool last_;
};

}  // namespace gestalt
