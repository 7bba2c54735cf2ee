// How long a run will take and how much memory, measured by some of its steps.
#pragma once

#include <string>

#include "tasks/training/method.h"

namespace gestalt {

struct RunEstimate {
  std::string data;      // what is learned from, as the feed says
  std::string problems;  // files that cannot be used
  int64_t parameters = 0, steps = 0, steps_per_epoch = 0;
  double seconds_per_step = 0;
  double minutes = 0;        // with the probes'
  int64_t memory = 0;        // bytes at the peak: of the device, on the CPU of the process
  std::string text() const;  // "about 12 minutes (0.31 s a step) and 0.8 GiB"
};

// Makes up to `most_steps` steps of a method that is open on `feed`, in no more than about ten seconds, with weights
// that are thrown away. A run that begins afterwards builds the method anew and is the same, bit for bit.
RunEstimate measure_steps(Method& method, Feed& feed, int64_t most_steps = 4);
// The same for a method that is not open. Writes nothing.
RunEstimate rehearse(Method& method);

}  // namespace gestalt
