// The one training loop: each step of the flow, then metrics, probe and checkpoint.
#pragma once

#include <string>
#include <vector>

#include "tasks/training/method.h"

namespace gestalt {

struct PretrainSettings {
  std::string out = {};       // run folder; empty: runs/NAME-DATE
  std::string resume = {};    // a run folder to go on with; the method must have its fields (see method_of_run)
  bool check_finite = false;  // name the first op that gives a NaN or an infinity; slow
  bool quiet = false;         // no progress lines
  int64_t stop_after = 0;     // end this sitting after so many steps, as if by SIGTERM; 0: never
};

struct PretrainResult {
  std::string folder, encoder_file;  // the latter is empty if the run was interrupted
  std::vector<Metric> metrics;       // of the last probe
  int64_t steps = 0;
  double seconds = 0;  // of training, over all sittings
  bool interrupted = false;
  int signal = 0;          // what interrupted it: SIGINT or SIGTERM, else 0
  bool collapsed = false;  // the features of different images became nearly alike, and the run said so
};

// Opens the method's data, builds and trains it, and leaves in the run folder: config.json, metrics.csv (the same bytes
// for the same configuration, however often it was resumed), timing.csv, checkpoint.safetensors and the encoder.
// SIGINT and SIGTERM save and return with `interrupted`. Throws Error when the loss is no longer finite.
PretrainResult pretrain(Method& method, const PretrainSettings& settings = {});

// The method of the run in `folder`, with the fields it ran with, ready for pretrain() with `resume`.
std::unique_ptr<Method> method_of_run(const std::string& folder);
// The same, built, with the weights that the run has reached, on the method's device; for looking at.
void load_run(const std::string& folder, Method& method);

}  // namespace gestalt
