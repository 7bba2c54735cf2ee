// Times what a step enqueues on a device, by the device's own clock.
#pragma once

#include <memory>

#include "kernels/memory.h"

namespace gestalt::bench {

// From begin() to end(), as the device comes to them. On the CPU there is none.
class DeviceClock {
 public:
  explicit DeviceClock(Device device);
  DeviceClock(const DeviceClock&) = delete;
  ~DeviceClock();

  bool runs() const { return timer_ != nullptr; }
  void begin();
  void end();
  double milliseconds();  // waits for the device

 private:
  class Timer;
  std::unique_ptr<Timer> timer_;
};

}  // namespace gestalt::bench
