// Task: what a self-supervised method has to say. Everything else (loop, checkpoint, probe) is shared.
//
// A method is one file under tasks/: a class derived from Task or ImageTask and a REGISTER_TASK line.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/nn/module.h"
#include "engine/nn/optimizer.h"
#include "engine/run/fields.h"
#include "engine/run/phase_clock.h"
#include "kernels/varying.h"
#include "models/encoder.h"

namespace gestalt {

// What every run has, whatever the method.
struct RunOptions {
  std::string data = "shapes";
  int64_t batch = 256, epochs = 100, accumulate = 1;
  int64_t steps = 0;  // instead of epochs, unless 0
  std::string device = "auto", dtype = "auto";
  bool graph = true;
  int64_t threads = 0, loader_threads = 2;
  int64_t seed = 1;
  int64_t probe_every = 10;
  double checkpoint_minutes = 5;
  void fields(Fields& f);

  Device resolved_device() const;  // "auto" is cuda where there is one
  DType resolved_dtype() const;    // "auto" is bf16 where the device multiplies it faster than f32
};

// What one step trains on. Images: one tensor (views · batch, S, S, 3), the first view's images first.
// Text: tokens (batch, T) and targets (batch, T), i32.
struct Inputs {
  std::vector<Tensor> tensors;
};

// The parts of a step that are timed, in the order of the flow.
enum class Phase : size_t { data, augment, forward, backward, optimizer };
inline const std::vector<std::string> phase_names{"data", "augment", "forward", "backward", "optimizer"};

// Where a step's inputs come from. `at(step)` is a pure function of the seed and the step, so a resume sees what an
// uninterrupted run would. Phases `data` and `augment` are timed on the clock.
class Feed {
 public:
  virtual ~Feed() = default;
  virtual Inputs at(int64_t step, PhaseClock& clock) = 0;
  virtual int64_t steps_per_epoch() const = 0;
  virtual int64_t items_per_step() const = 0;  // images or tokens, counted once whatever the number of views
  virtual std::string item() const { return "images"; }
  virtual std::string describe() const = 0;
  virtual std::string problems() const { return {}; }  // files that cannot be used, counted and named
};

struct StepInfo {
  int64_t step = 0, total_steps = 1;
  kernels::Varying<uint64_t> batch = {};  // batches drawn before this one: what random numbers in a loss are drawn for
};

struct LossOutput {
  Tensor loss;      // scalar
  Tensor features;  // (N, D), detached: what the collapse meter looks at; undefined if there is nothing to look at
};

// A measured number with the protocol that makes it comparable.
struct Metric {
  std::string name;  // a column of metrics.csv
  double value;
  std::string protocol;  // in words
};

class Task : public Module {
 public:
  RunOptions run;
  OptimizerOptions optimizer;

  virtual std::string name() const = 0;
  virtual void fields(Fields& f);  // all hyper-parameters; overrides call the base first

  virtual std::unique_ptr<Feed> open() = 0;  // opens the data that `run` names
  virtual void build(Random& random) = 0;    // makes the modules; the data is open
  // Before the first loss(): the trained parts have moved into `arena`, and a checkpoint may have been loaded.
  virtual void prepare(const ParameterArena&) {}
  // Before each step: sets what the host decides anew, such as a teacher's rate, where kernels find it (StepNumber).
  virtual void begin_step(const StepInfo&) {}
  virtual LossOutput loss(const Inputs& inputs, const StepInfo& info) = 0;
  // After each update: a teacher, a queue. `arena` holds the trained parts.
  virtual void after_step(const StepInfo&, ParameterArena&) {}
  // Whether loss() and after_step() enqueue the same work at every step, all that changes being in their inputs,
  // `info.batch` and StepNumbers. Then they are captured in a CUDA graph, and do not run on the host at later steps.
  virtual bool replayable() const { return false; }
  // Spread::std under which features count as collapsed. 0.15 is a mean cosine of 0.98 between different images;
  // healthy projections have 0.4 and more. 0: the method's loss cannot be won by giving all images the same features.
  virtual double collapsed_spread() const { return 0.15; }
  // What to change when they are; said by the loop.
  virtual std::string collapse_cure() const { return "try a lower --lr, a larger --batch or a longer --warmup-epochs"; }
  // How good the encoder is now. The first metric is the headline.
  virtual std::vector<Metric> probe() = 0;
  // Writes pictures for a user to look at into the run's folder, after each probe.
  virtual void write_pictures(const std::string& /*folder*/, int64_t /*epoch*/) {}
  // Writes what a user takes away (the encoder) into `folder`; returns the file.
  virtual std::string export_to(const std::string& folder) = 0;
};

// Field values that together follow a published recipe.
struct Preset {
  std::string name, summary;
  std::string values;  // a JSON object: field → value
};

struct TaskEntry {
  std::string name, summary;
  std::unique_ptr<Task> (*make)();
  std::vector<Preset> presets;
};

// All registered methods, by name.
const std::vector<TaskEntry>& list_tasks();
const TaskEntry& find_task(const std::string& name);  // throws Error with the nearest name
// Sets the fields that a preset names.
void apply_preset(Task& task, const TaskEntry& entry, const std::string& preset);

struct RegisterTask {
  explicit RegisterTask(TaskEntry entry);
};

}  // namespace gestalt
