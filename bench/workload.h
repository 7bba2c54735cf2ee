// Workloads: named pieces of work, a training step or one op, that the benchmark program times and profiles.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor/device_memory.h"
#include "engine/tensor/tensor.h"
#include "kernels/launch.h"

namespace gestalt::bench {

struct WorkloadOptions {
  std::string name;  // one of list_workloads()
  DType dtype = DType::f32;
  Device device = Device::cpu;
  int64_t batch = 0;                // images, windows of text, rows or parameters; 0: the workload's own
  int64_t size = 0;                 // side of the images, context or columns; 0: the workload's own
  bool feed = false;                // a step draws its inputs from loader and augmentation; else from memory
  bool graph = true;                // a training step on CUDA may be captured; its launches are not seen then
  bool arrows = false;              // a training step runs launch by launch and times each arrow of the flow
  std::vector<std::string> fields;  // "name=value" hyper-parameters of a training step's method
};

class Workload {
 public:
  explicit Workload(const WorkloadOptions& options) : device(options.device) {}
  virtual ~Workload() = default;
  virtual void enqueue() = 0;                       // one step; has ended when the device has
  void step() { enqueue(), synchronize(device); }   // the same, to its end
  virtual std::string phase() const { return ""; }  // of the step that is running
  // Milliseconds a step in each arrow of the flow since the last call, of a workload that times them; what comes
  // before the first call is not timed.
  virtual std::vector<std::pair<std::string, double>> arrows() { return {}; }
  virtual double loss() const { return 0; }  // of the last step

  const Device device;
  int64_t batch = 0, size = 0;
  int64_t parameters = 0;  // that are trained
  double items = 0;        // what a step gets through, in units of `item`
  std::string item;
};

struct WorkloadEntry {
  std::string name, summary;
  std::function<std::unique_ptr<Workload>(const WorkloadOptions&)> make;
};

const std::vector<WorkloadEntry>& list_workloads();
// Throws Error, with the nearest name, for an unknown one.
std::unique_ptr<Workload> make_workload(const WorkloadOptions& options);

// The training steps among them, one for each of training_cases(), and the single ops.
std::vector<WorkloadEntry> training_workloads();
std::vector<WorkloadEntry> op_workloads();

// 0 … batch − 1, i32: as if a batch held a data set's first samples.
Tensor first_samples(int64_t batch, Device device);

// Sets the observer of launches for as long as it lives.
class Observing {
 public:
  explicit Observing(kernels::LaunchObserver& observer) { kernels::launch_observer = &observer; }
  Observing(const Observing&) = delete;
  Observing& operator=(const Observing&) = delete;
  ~Observing() { kernels::launch_observer = nullptr; }
};

}  // namespace gestalt::bench
