// The queue: order, wrapping, counting, dtypes, captured pushes, and lengths that are refused.
#include "engine/nn/queue.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/tensor/graph.h"
#include "tests/devices.h"

namespace gestalt::test {
namespace {

std::vector<int32_t> place_of(const Queue& queue) {
  const Tensor host = queue.place().to(Device::cpu);
  return {host.data<int32_t>(), host.data<int32_t>() + 2};
}

}  // namespace

TEST_CASE("queue: begins with random rows of unit length, other ones for another seed") {
  Random one(1), other(2);
  const Queue a(6, 5, one), b(6, 5, other);
  const std::vector<float> rows = a.rows().values();
  for (int i = 0; i < 6; ++i) {
    double squares = 0;
    for (int d = 0; d < 5; ++d) squares += double{rows[i * 5 + d]} * rows[i * 5 + d];
    CHECK(squares == doctest::Approx(1).epsilon(1e-6));
  }
  CHECK(rows != b.rows().values());
  CHECK(place_of(a) == std::vector<int32_t>{0, 0});
}

TEST_CASE("queue on every device: the newest rows overwrite the oldest, in two parts where the ring ends") {
  for (Device device : devices())
    for (DType dtype : {DType::f32, DType::bf16}) {
      CAPTURE(name(device));
      Random random(1);
      Queue queue(5, 2, random);
      move_to(queue, device);
      std::vector<float> expected = queue.rows().values();
      for (int step = 0; step < 4; ++step) {
        std::vector<float> rows;
        for (int i = 0; i < 3; ++i)
          for (int d = 0; d < 2; ++d) {
            rows.push_back(static_cast<float>(8 * step + 2 * i + d));
            expected[static_cast<size_t>((3 * step + i) % 5 * 2 + d)] = rows.back();
          }
        queue.push(Tensor::from(rows, {3, 2}).to(dtype).to(device));
        CHECK(queue.rows().values() == expected);
        CHECK(place_of(queue) == std::vector<int32_t>{(3 * step + 3) % 5, std::min(5, 3 * step + 3)});
      }
    }
}

TEST_CASE("queue: a captured push goes on round the ring" * doctest::skip(without_cuda)) {
  Random random(1);
  Queue queue(4, 2, random);
  move_to(queue, Device::cuda);
  const Tensor row = Tensor::full({1, 2}, 3).to(Device::cuda);
  queue.push(row);
  Graph graph;
  graph.capture([&] { queue.push(row); });
  for (int i = 0; i < 4; ++i) graph.launch();
  CHECK(place_of(queue) == std::vector<int32_t>{1, 4});
  CHECK(queue.rows().values() == std::vector<float>(8, 3.0f));
}

TEST_CASE("queue: what does not fit is refused, with the cure") {
  Random random(1);
  Queue queue(4, 2, random);
  CHECK_THROWS_WITH_AS(queue.push(Tensor::zeros({5, 2})), doctest::Contains("[queue] got rows (5, 2)"), Error);
  CHECK_THROWS_WITH_AS(queue.push(Tensor::zeros({1, 3})), doctest::Contains("up to 4 of 2"), Error);
  CHECK_THROWS_WITH_AS(check_queue("moco", 100, 32, 32, 1000), doctest::Contains("use --queue 96"), Error);
  CHECK_THROWS_WITH_AS(check_queue("moco", 1024, 32, 32, 1000), doctest::Contains("use --queue 960"), Error);
  CHECK_THROWS_WITH_AS(check_queue("moco", 64, 32, 32, 40), doctest::Contains("a smaller --batch"), Error);
  check_queue("moco", 96, 32, 32, 128);
}

}  // namespace gestalt::test
