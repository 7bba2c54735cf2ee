// The device's clock, read before and after a step.
#include "bench/device_clock.h"

#if GESTALT_WITH_CUDA
#include "kernels/cuda/runtime.h"

namespace gestalt::bench {
class DeviceClock::Timer : public kernels::cuda::Timer {};
}  // namespace gestalt::bench
#else
namespace gestalt::bench {
class DeviceClock::Timer {
 public:
  void begin() {}
  void end() {}
  double milliseconds() const { return 0; }
};
}  // namespace gestalt::bench
#endif

namespace gestalt::bench {

DeviceClock::DeviceClock(Device device) : timer_(device == Device::cpu ? nullptr : std::make_unique<Timer>()) {}
DeviceClock::~DeviceClock() = default;

void DeviceClock::begin() {
  if (timer_) timer_->begin();
}
void DeviceClock::end() {
  if (timer_) timer_->end();
}
double DeviceClock::milliseconds() { return timer_->milliseconds(); }

}  // namespace gestalt::bench
