// Graph: work on the CUDA device that is recorded once and then repeated by one launch.
#pragma once

#include <functional>
#include <memory>

namespace gestalt {

// Repeats the same kernels on the same memory. What differs from one launch to the next lies in memory that was there
// before the capture: inputs copied into the same tensors, numbers in a StepNumber.
class Graph {
 public:
  Graph();
  ~Graph();
  Graph(const Graph&) = delete;

  // Records what `work` enqueues on the compute stream, without running it. Tensors that are made meanwhile live in a
  // pool of the graph's own; those that outlive `work` hold what the last launch wrote. Throws Error where `work` needs
  // the host (reads a result, copies from pageable memory), and where no device is built in; nothing is recorded then.
  void capture(const std::function<void()>& work);
  void launch();
  explicit operator bool() const { return impl_ != nullptr; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gestalt
