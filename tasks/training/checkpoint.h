// Checkpoints: everything a run needs to go on as if it had never stopped, in one safetensors file with checksums.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/run/json.h"
#include "tasks/training/training.h"

namespace gestalt {

// A row of a table by its columns; a value that is not there leaves its cell empty.
using MetricsRow = std::vector<std::pair<std::string, std::optional<double>>>;

// When the best encoder so far was found, and what the compared column said then; step 0: not yet.
struct Best {
  int64_t step = 0;
  double value = 0;
};

// Where a run stands. Data order and augmentation are pure functions of the seed and the step, so they need no state.
struct RunState {
  int64_t step = 0;    // updates made
  double seconds = 0;  // of training so far, over all sittings
  // Of the loss and its terms, by name, since the last row of metrics.csv; over how many batches.
  std::vector<std::pair<std::string, double>> sums = {};
  int64_t batches = 0;
  int64_t metrics_bytes = 0, timing_bytes = 0;  // how long the run's files were; 0 for one that was not there
  MetricsRow row = {};                          // of metrics.csv, when it still waits for the last probe
  Best best = {};
};

// What a run began with.
struct RunOrigin {
  DataIdentity data = {};                 // empty in a run that an older program began
  std::string folder = {};                // the working folder, which relative paths of the fields begin in
  std::vector<std::string> changes = {};  // by which the data differed in resumes that were asked for all the same
};

// Writes weights, states, moments and the records as the last checkpoint of the run in `folder`, with checksums. The
// one before it is kept; it is replaced once the new one is on the disk and has been read again.
void save_checkpoint(const std::string& folder, Method& method, Training& training, const RunState& state,
                     const RunOrigin& origin);

// Keeps the last checkpoint, of `step`, as checkpoint-STEP.safetensors too, and of such files only the last `count`.
void keep_checkpoints(const std::string& folder, int64_t step, int64_t count);

// The last checkpoint of the run in `folder`, or the one before it where that is damaged: `note` then says so.
struct CheckpointHeader {
  std::string path, method;
  Json fields;
  RunState state;
  RunOrigin origin;
  std::string note;
};
// Looks at the records alone, to make the method again before load_checkpoint.
CheckpointHeader read_checkpoint_header(const std::string& folder);

// Restores what save_checkpoint wrote into the training of a method that was built with the same fields. Throws Error
// for damage, and naming the part that is missing, extra or of another shape.
CheckpointHeader load_checkpoint(const std::string& folder, Training& training);

// The weights and states alone, for looking at what a run has learned so far.
void load_weights(const std::string& folder, Method& method);

}  // namespace gestalt
