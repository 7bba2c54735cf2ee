// Feed: where a step's batch comes from. A feed knows no method; it gives what Wants asks for.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/data/batch.h"
#include "engine/run/phase_clock.h"

namespace gestalt {

// What data are, wherever they lie: counts and checksums by name, in a fixed order.
using DataIdentity = std::vector<std::pair<std::string, std::string>>;

// One thread calls it. `at(step)` is a pure function of the seed and the step, so a resume sees what an uninterrupted
// run would; `step` counts batches. The phases `data` and `augment` are timed on the clock.
class Feed {
 public:
  virtual ~Feed() = default;
  virtual Batch at(int64_t step, PhaseClock& clock) = 0;
  virtual int64_t steps_per_epoch() const = 0;
  virtual int64_t items_per_step() const = 0;  // images or tokens, counted once whatever the number of views
  virtual std::string item() const { return "images"; }
  virtual std::string describe() const = 0;
  virtual DataIdentity identity() const { return {}; }  // what a resumed run has to find again
  virtual std::string problems() const { return {}; }   // files that cannot be used, counted and named
};

}  // namespace gestalt
