// What every run has, whatever the method.
#pragma once

#include <string>

#include "engine/run/fields.h"
#include "kernels/memory.h"

namespace gestalt {

struct RunOptions {
  std::string data = "shapes";
  int64_t batch = 256, epochs = 100, accumulate = 1;
  int64_t steps = 0;  // instead of epochs, unless 0
  std::string device = "auto", dtype = "auto";
  bool graph = true;
  int64_t threads = 0, loader_threads = 0;
  int64_t seed = 1;
  int64_t probe_every = 10;
  double checkpoint_minutes = 5;
  int64_t keep = 0;
  std::string keep_best = "no";
  bool tensorboard = false;

  void fields(Fields& f);

  Device resolved_device() const;  // "auto" is cuda where there is one
  DType resolved_dtype() const;    // "auto" is bf16 where the device multiplies it faster than f32
};

}  // namespace gestalt
