// SIGINT, SIGTERM and SIGHUP as a question that a loop asks between two steps.
#pragma once

#include <cstdint>

namespace gestalt {

// While one of these lives, the first SIGINT, SIGTERM or SIGHUP (a terminal that went away; unless nohup has it
// ignored) only sets a flag, so that the loop can save and leave; a second one ends the process at once. So does a
// first SIGTERM or SIGHUP that the loop does not ask about in time, as when its step never ends: in `grace_seconds`
// more than it has ever let pass between two questions. At most one lives at a time. Throws Error if there is one
// already.
class StopSignal {
 public:
  explicit StopSignal(int grace_seconds = 10);
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  ~StopSignal();  // puts the former handlers back

  bool requested();    // asked by the loop, once a step
  void expect_long();  // until it asks again it takes whatever time it takes, as to evaluate
  int signal() const;  // the one that was received, 0 before

 private:
  int64_t grace_seconds_, asked_, longest_ = 0;  // when it was asked last, and the longest time without; seconds
  bool long_ = false;
};

}  // namespace gestalt
