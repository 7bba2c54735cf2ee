// Tables by sample: what is stored and read on each device, captured steps, and what is refused.
#include "engine/nn/bank.h"

#include <doctest/doctest.h>

#include "engine/tensor/graph.h"
#include "tests/devices.h"

namespace gestalt::test {
namespace {

Tensor samples_of(const std::vector<int32_t>& numbers, Device device = Device::cpu) {
  return Tensor::from(numbers, {static_cast<int64_t>(numbers.size())}).to(device);
}

std::vector<int32_t> numbers_in(const Tensor& x) {
  const Tensor host = x.to(Device::cpu);
  return {host.data<int32_t>(), host.data<int32_t>() + host.count()};
}

}  // namespace

TEST_CASE("bank on every device: a sample's row is the last that was stored, others stay") {
  for (Device device : devices())
    for (DType dtype : {DType::f32, DType::bf16}) {
      CAPTURE(name(device));
      FeatureBank bank(4, 2);
      move_to(bank, device);
      const auto store = [&](const std::vector<float>& rows, const std::vector<int32_t>& samples) {
        bank.store(Tensor::from(rows, {static_cast<int64_t>(samples.size()), 2}).to(dtype).to(device),
                   samples_of(samples, device));
      };
      store({1, 2, 3, 4}, {3, 0});
      CHECK(bank.rows().values() == std::vector<float>{3, 4, 0, 0, 0, 0, 1, 2});
      store({5, 6}, {0});
      CHECK(bank.rows().values() == std::vector<float>{5, 6, 0, 0, 0, 0, 1, 2});
      store({7, 7, 8, 8, 9, 9}, {1, 2, 1});
      CHECK(bank.rows().values() == std::vector<float>{5, 6, 9, 9, 8, 8, 1, 2});
    }
}

TEST_CASE("bank on every device: numbers are read by sample, once a view") {
  for (Device device : devices()) {
    const Tensor table = samples_of({7, 8, 9}, device);
    CHECK(numbers_in(numbers_of(table, samples_of({2, 0}, device))) == std::vector<int32_t>{9, 7});
    CHECK(numbers_in(numbers_of(table, samples_of({2, 0}, device), 3)) == std::vector<int32_t>{9, 7, 9, 7, 9, 7});
  }
}

TEST_CASE("bank: a captured step stores what its inputs hold" * doctest::skip(without_cuda)) {
  FeatureBank bank(3, 1);
  move_to(bank, Device::cuda);
  Tensor row = Tensor::full({1, 1}, 3).to(Device::cuda), sample = samples_of({1}, Device::cuda);
  bank.store(row, sample);
  Graph graph;
  graph.capture([&] { bank.store(row, sample); });
  row.fill(5);
  sample.copy_from(samples_of({2}));
  graph.launch();
  CHECK(bank.rows().values() == std::vector<float>{0, 3, 5});
  sample.copy_from(samples_of({3}));  // out of range
  graph.launch();
  CHECK(bank.rows().values() == std::vector<float>{0, 3, 5});
  CHECK(numbers_in(numbers_of(samples_of({4, 5}, Device::cuda), sample)) == std::vector<int32_t>{-1});
}

TEST_CASE("bank: what does not fit is refused") {
  FeatureBank bank(3, 2);
  CHECK_THROWS_WITH_AS(bank.store(Tensor::zeros({1, 2}), samples_of({3})), doctest::Contains("expected 0 to 2"), Error);
  CHECK_THROWS_AS(bank.store(Tensor::zeros({1, 2}), samples_of({-1})), Error);
  CHECK_THROWS_AS(bank.store(Tensor::zeros({1, 3}), samples_of({0})), Error);
  CHECK_THROWS_AS(bank.store(Tensor::zeros({2, 2}), samples_of({0})), Error);
  CHECK_THROWS_AS(numbers_of(Tensor::zeros({2}), samples_of({0})), Error);
  CHECK_THROWS_AS(numbers_of(samples_of({1, 2}), samples_of({2})), Error);
}

}  // namespace gestalt::test
