// Checkpoints: everything a run needs to go on as if it had never stopped, in one safetensors file.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tasks/training/training.h"

namespace gestalt {

// Where a run stands. Data order and augmentation are pure functions of the seed and the step, so they need no state.
struct RunState {
  int64_t step = 0;    // updates made
  double seconds = 0;  // of training so far, over all sittings
  // Of the loss and its terms, by name, since the last row of metrics.csv; over how many batches.
  std::vector<std::pair<std::string, double>> sums = {};
  int64_t batches = 0;
  int64_t metrics_bytes = 0, timing_bytes = 0;  // how long the run's files were; 0 for one that was not there
};

// Writes weights, states, moments, `state` and the method's fields atomically.
void save_checkpoint(const std::string& path, Method& method, Training& training, const RunState& state);

// The name and the fields of the method that wrote `path`, to make it again before load_checkpoint.
struct CheckpointHeader {
  std::string method;
  nlohmann::ordered_json fields;
  RunState state;
};
CheckpointHeader read_checkpoint_header(const std::string& path);

// Restores what save_checkpoint wrote into the training of a method that was built with the same fields. Throws Error
// naming the part that is missing, extra or of another shape.
RunState load_checkpoint(const std::string& path, Training& training);
// The weights and states alone, for looking at what a run has learned so far.
void load_weights(const std::string& path, Method& method);

}  // namespace gestalt
