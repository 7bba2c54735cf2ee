// Phases by the device's own clock.
#include "engine/run/phase_clock.h"

#include <doctest/doctest.h>

#include "engine/ops/product.h"
#include "engine/tensor/device_memory.h"
#include "engine/tensor/graph.h"
#include "tests/devices.h"

namespace gestalt::test {

TEST_CASE("cuda: phases last as long as the device is at what was enqueued in them" * doctest::skip(without_cuda)) {
  const Tensor a = Tensor::full({256, 256}, 0.5, DType::f32, Device::cuda);
  const auto work = [&] {
    for (int i = 0; i < 20; ++i) matmul(a, a);
  };
  work();
  synchronize(Device::cuda);
  PhaseClock clock;
  clock.follow_device();
  const auto step = [&](auto&& forward) {
    clock.enter(Phase::data);
    clock.enter(Phase::forward);
    forward();
    clock.enter(Phase::optimizer);
    clock.end_step();
    synchronize(Device::cuda);
  };
  step(work), step(work);
  CHECK(clock.seconds(Phase::forward) > 4 * (clock.seconds(Phase::data) + clock.seconds(Phase::optimizer)));
  CHECK(clock.milliseconds_per_step(Phase::forward) == doctest::Approx(clock.seconds(Phase::forward) * 500));
  clock.reset();
  CHECK(clock.seconds(Phase::forward) == 0);

  Graph graph;  // phases of what is captured are those it is launched in
  clock.enter(Phase::forward);
  graph.capture([&] {
    clock.enter(Phase::backward);
    work();
  });
  clock.reset();
  step([&] { graph.launch(); });
  CHECK(clock.seconds(Phase::forward) > 4 * clock.seconds(Phase::optimizer));
  CHECK(clock.seconds(Phase::backward) == 0);
}

}  // namespace gestalt::test
