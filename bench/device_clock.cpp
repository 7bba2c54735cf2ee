// The device's clock, read around the launches of a step.
#include "bench/device_clock.h"

#if GESTALT_WITH_CUDA
#include "kernels/cuda/runtime.h"

namespace gestalt::bench {

class DeviceClock::Launches : public kernels::LaunchObserver {
 public:
  void begin(const kernels::LaunchInfo& launch) override {
    if (launch.stream.device == Device::cuda && !begun_) timer_.begin(), begun_ = true;
  }
  void end(Stream stream) override {
    if (stream.device == Device::cuda) timer_.end();
  }
  double milliseconds() {
    check(begun_, "[device_clock] nothing was launched on the device");
    begun_ = false;
    return timer_.milliseconds();
  }

 private:
  kernels::cuda::Timer timer_;
  bool begun_ = false;
};

}  // namespace gestalt::bench
#else
namespace gestalt::bench {
class DeviceClock::Launches : public kernels::LaunchObserver {
 public:
  void begin(const kernels::LaunchInfo&) override {}
  void end(Stream) override {}
  double milliseconds() { return 0; }
};
}  // namespace gestalt::bench
#endif

namespace gestalt::bench {

DeviceClock::DeviceClock(Device device) {
  if (device == Device::cpu) return;
  launches_ = std::make_unique<Launches>();
  kernels::launch_observer = launches_.get();
}
DeviceClock::~DeviceClock() {
  if (launches_) kernels::launch_observer = nullptr;
}
double DeviceClock::milliseconds() { return launches_->milliseconds(); }

}  // namespace gestalt::bench
