// Times what a step launches on a device, by the device's own clock.
#pragma once

#include <memory>

#include "kernels/launch.h"

namespace gestalt::bench {

// Watches the launches on a device for as long as it lives; on the CPU, none. From the beginning of the first launch of
// a step to the end of its last one, so that what the host does before and after is left out.
class DeviceClock {
 public:
  explicit DeviceClock(Device device);
  DeviceClock(const DeviceClock&) = delete;
  ~DeviceClock();

  bool runs() const { return launches_ != nullptr; }
  double milliseconds();  // of the launches since the last call

 private:
  class Launches;
  std::unique_ptr<Launches> launches_;
};

}  // namespace gestalt::bench
