// Schedules: their forms against PyTorch's and NumPy's, their ends, and scheduled numbers on devices.
#include "engine/nn/schedule.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "engine/nn/optimizer.h"
#include "engine/tensor/tensor.h"
#include "kernels/optimizer.h"
#include "tests/devices.h"
#include "tests/golden_step.h"

namespace gestalt::test {

TEST_CASE("schedules: every step of PyTorch's and NumPy's") {
  const auto record = golden_record("schedules.json");
  const std::vector<std::pair<std::string, Schedule>> all{
      {"cosine", Schedule::cosine(0.3, 0.02, 40)},
      {"warm-up, then cosine", Schedule::cosine(2.0, 0.2, 50, 10)},
      {"warm-up from above 0", Schedule::cosine(0.6, 0.0006, 30, 5, 0.1)},
      {"rising cosine", Schedule::cosine(0.996, 1, 40)},
      {"linear", Schedule::linear(0.04, 0.07, 30)}};
  CHECK(all.size() == record.size());
  for (const auto& [name, schedule] : all) {
    const std::string which = name;  // clang 14 captures no structured binding
    CAPTURE(which);
    const auto expected = record.at(which).get<std::vector<double>>();
    for (size_t step = 0; step < expected.size(); ++step) {
      CAPTURE(step);
      CHECK(schedule.at(static_cast<int64_t>(step)) == doctest::Approx(expected[step]).epsilon(1e-12));
    }
  }
}

TEST_CASE("schedules: begin and end exactly where they say, and stay there") {
  const Schedule cosine = Schedule::cosine(0.7, 0.1, 110, 10, 0.3);
  CHECK(cosine.at(0) == doctest::Approx(0.34));
  CHECK(cosine.at(9) == 0.7);
  CHECK(cosine.at(10) == 0.7);
  CHECK(cosine.at(60) == doctest::Approx(0.4));
  CHECK(Schedule::linear(0.04, 0.07, 30).at(0) == 0.04);
  for (int64_t step : {110, 111, 100'000}) {
    CHECK(cosine.at(step) == 0.1);
    CHECK(Schedule::linear(0.04, 0.07, 30).at(step) == 0.07);
    CHECK(Schedule::constant(0.9).at(step) == 0.9);
  }
  CHECK(Schedule{}.at(5) == 0);
  CHECK(Schedule::cosine(0.7, 0.1, 0).at(0) == 0.7);
  CHECK(Schedule::linear(0.7, 0.1, 0).at(0) == 0.7);
  CHECK(Schedule::jump(0.1, 0.7, 12).at(11) == 0.1);
  CHECK(Schedule::jump(0.1, 0.7, 12).at(12) == 0.7);
  CHECK(Schedule::jump(0.1, 0.7, 0).at(0) == 0.7);
  // A warm-up as long as the run.
  CHECK(Schedule::cosine(0.7, 0.1, 10, 10).at(9) == 0.7);
}

TEST_CASE("schedules: a rate that falls to 0 is peak · half a cosine to the last bit") {
  const double peak = 0.03 * 7 / 3;
  const Schedule s = Schedule::cosine(peak, 0, 1000, 100);
  for (int64_t step = 0; step < 100; ++step) CHECK(s.at(step) == peak * static_cast<double>(step + 1) / 100.0);
  for (int64_t step = 100; step < 1000; ++step)
    CHECK(s.at(step) == peak * (0.5 * (1 + std::cos(std::numbers::pi * (static_cast<double>(step - 100) / 900.0)))));
}

TEST_CASE("schedules: the warm form is a true mean first, then holds its limit") {
  const Schedule s = Schedule::warm(0.99);
  CHECK(s.at(0) == 0);
  CHECK(s.at(1) == 0.5);
  CHECK(s.at(3) == 0.75);
  CHECK(s.at(98) == doctest::Approx(1 - 1.0 / 99));
  CHECK(s.at(99) == doctest::Approx(0.99));
  CHECK(s.at(100) == 0.99);
  CHECK(s.at(1'000'000) == 0.99);
}

TEST_CASE("scheduled numbers, every device: kernels find each step's, none before the first") {
  for (Device device : devices()) {
    CAPTURE(name(device));
    Scheduled momentum;
    momentum.schedule = Schedule::linear(0.5, 1, 4);
    CHECK_THROWS_AS(momentum.now(), Error);
    CHECK_THROWS_AS(momentum.value(), Error);
    momentum.begin_step(0, device);
    const kernels::Varying<double> place = momentum.now();
    CHECK(place.place != nullptr);
    Tensor teacher = Tensor::zeros({4}, DType::f32, device);
    const Tensor student = Tensor::full({4}, 1, DType::f32, device);
    const kernels::EmaStep follow{teacher.out(), {}, student.in(), place, 4};
    kernels::launch(follow, teacher.stream());
    CHECK(teacher.values()[3] == 0.5f);
    momentum.begin_step(2, device);  // the same place, as a captured graph needs
    CHECK(momentum.value() == 0.75);
    kernels::launch(follow, teacher.stream());
    CHECK(teacher.values()[3] == 0.625f);
  }
}

TEST_CASE("rates and warm-up as absolute numbers or by batch and epoch") {
  OptimizerOptions o{.rate = 0.1, .warmup_epochs = 2};
  CHECK(rate_schedule(o, 512, 50, 1000).from == doctest::Approx(0.2));
  CHECK(rate_schedule(o, 512, 50, 1000).warmup_steps == 100);
  o.rate_scaling = "none";
  o.warmup_steps = 7;
  CHECK(rate_schedule(o, 512, 50, 1000).from == doctest::Approx(0.1));
  CHECK(rate_schedule(o, 512, 50, 1000).warmup_steps == 7);
}

}  // namespace gestalt::test
