// The one training loop: each step of the flow, then metrics, probe and checkpoint.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/run/profile_steps.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/method.h"

namespace gestalt {

struct PretrainSettings {
  std::string out = {};           // run folder; empty: runs/NAME-DATE
  std::string resume = {};        // a run folder to go on with; the method must have its fields (see method_of_run)
  bool allow_other_data = false;  // resume although the data are not what the run began with; that is recorded
  bool must_measure = false;      // throw before the first step where the probe can be known to give nothing
  bool check_finite = false;      // name the first op that gives a NaN or an infinity; slow
  bool quiet = false;             // no progress lines
  std::string chosen = {};        // what was chosen, in words: said with the time and memory it takes, measured first
  int64_t stop_after = 0;         // end this sitting after so many steps, as if by SIGTERM; 0: never
  ProfileSteps profile = {};      // that a profiler outside of the program looks at
  // For programs that follow or end a run; called between steps by the thread that called pretrain(). What they throw
  // ends the run as any Error does.
  std::function<void(int64_t step, int64_t steps)> on_step = {};  // after each step: made so far, and in all
  std::function<void(const MetricsRow&)> on_row = {};             // each row of metrics.csv, its probe's cells included
  std::function<bool()> stop = {};  // asked before each step: true saves and ends this sitting, as SIGTERM does
};

struct PretrainResult {
  std::string folder, encoder_file;  // the latter is empty if the run was interrupted
  std::vector<Metric> metrics;       // of the last probe
  int64_t steps = 0;
  double seconds = 0;  // of training, over all sittings
  bool interrupted = false;
  int signal = 0;  // what interrupted it: SIGINT or SIGTERM; 0 for `stop` and `stop_after`
  std::string unmeasured =
      {};                  // why the last probe gave nothing, where it should have; the weights are saved all the same
  bool collapsed = false;  // as one of Method::collapse_signs() tells, and the run said so
  std::string collapse_cure;  // what to change then
  Best best = {};             // of --keep-best: when and by what value RUN/best was found
};

// Opens the method's data, builds and trains it, and leaves in the run folder: config.json, metrics.csv (the same bytes
// for the same configuration, however often it was resumed), timing.csv, checkpoint.safetensors, the checkpoint before
// it, and the encoder; with run.keep_best the best one so far in the folder `best`, as often as the probe measures. All
// of them are written before the last probe, whose failure is no failure of the run. SIGINT and SIGTERM save and return
// with `interrupted`. Throws Error when the loss is no longer finite, once fault.json says where that began; for data
// that vanish, once what was learned is saved; and before the first step for anything that can be known then. A run
// that fails before its first checkpoint leaves nothing that stands in the way of another. A resume throws for an
// edited config.json, and for data that are not the same.
PretrainResult pretrain(Method& method, const PretrainSettings& settings = {});

// The method of the run in `folder`, with the fields it ran with, ready for pretrain() with `resume`; what may_change()
// is as config.json has it. Relative paths begin in the working folder of the run where they lead somewhere from there.
std::unique_ptr<Method> method_of_run(const std::string& folder);
// Whether a resumed run may have another value of this field than it began with: it says where something lies, or
// changes no result.
bool may_change(const std::string& field);
// Whether a resume may be asked to go on with another value of this field: what is learned from there on differs, and
// the run's records say so.
bool may_be_changed(const std::string& field);
// The same, built, with the weights that the run has reached, on the method's device; for looking at.
void load_run(const std::string& folder, Method& method);

}  // namespace gestalt
