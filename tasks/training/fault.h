// Finding what went wrong in a run whose loss is no longer finite.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace gestalt {

// What the loop has seen.
struct SeenFault {
  std::string folder;  // of the run
  int64_t step = 0;    // updates made by then
  double loss = 0, norm = 0;
  bool saved = false;  // there is a checkpoint after the beginning: the folder stays
};

// Goes on from the last checkpoint in memory, as the run did, until an op gives a number that is not finite: a resume
// is exact, so it is the same op again. Writes fault.json into the run's folder (that step, the op, the seed, the
// samples of the batches) and returns what a user should know of it. Nothing of the run changes. `say` tells what is
// being done. The method is made anew by its registered name: where that cannot be, the answer says why.
std::string find_fault(const SeenFault& seen, const std::function<void(const std::string&)>& say);

}  // namespace gestalt
