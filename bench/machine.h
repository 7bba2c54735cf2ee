// What this machine can do, measured at start-up: the ceilings that benchmarks are compared with.
#pragma once

namespace gestalt::bench {

struct Machine {
  double copy_gb_per_s;       // a large copy, bytes read plus bytes written
  double f32_gflop_per_s;     // a large product
  double bf16_gflop_per_s;
};

// Measured once, on all cores, with random numbers.
const Machine& machine();

}  // namespace gestalt::bench
