// SIGINT and SIGTERM as a question that a loop asks between two steps.
#pragma once

namespace gestalt {

// While one of these lives, the first SIGINT or SIGTERM only sets a flag, so that the loop can save and leave; a second
// one ends the process at once. At most one lives at a time. Throws Error if there is one already.
class StopSignal {
 public:
  StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  ~StopSignal();  // puts the former handlers back

  bool requested() const;
  int signal() const;  // the one that was received, 0 before
};

}  // namespace gestalt
