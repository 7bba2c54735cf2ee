// What this machine can do, measured at start-up: the ceilings that benchmarks are compared with; and its memory.
#pragma once

#include "kernels/memory.h"

namespace gestalt::bench {

struct Machine {
  double copy_gb_per_s;    // a large copy, bytes read plus bytes written
  double f32_gflop_per_s;  // a large product
  double bf16_gflop_per_s;

  double gflop_per_s(DType dtype) const { return dtype == DType::bf16 ? bf16_gflop_per_s : f32_gflop_per_s; }
  // The least time, in seconds, for so much traffic and arithmetic, where each overlaps the other.
  double floor_seconds(double bytes, double flops, DType dtype) const;
};

// Measured once, on all cores, with random numbers.
const Machine& machine();
// The same of a GPU, on its own clock; `quick`: with sizes for a smoke test, which say nothing of the device.
Machine measure_device(bool quick);

// What the process holds of the system's memory, in MiB: now, and at most since reset_peak_memory().
double memory_mib();
double peak_memory_mib();
void reset_peak_memory();

}  // namespace gestalt::bench
