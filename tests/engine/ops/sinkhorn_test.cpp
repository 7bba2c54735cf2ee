// Sinkhorn's assignments and SwAV's loss against the records, their shares, threads, extreme scores, and extra rows
// that come in under a captured graph.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "engine/ops/product.h"
#include "engine/ops/rows.h"
#include "engine/ops/sinkhorn.h"
#include "engine/ops/soft_cross_entropy.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/graph.h"
#include "engine/tensor/step_number.h"
#include "tests/devices.h"
#include "tests/engine/ops/op_table.h"
#include "tests/golden_step.h"
#include "tests/method_goldens.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

std::vector<double> golden(const std::string& key) { return golden_values("sinkhorn.json", key); }

Tensor cosines(const Tensor& x) { return linear(normalize(x), normalize(S({7, 6}, 0.9))); }

void check_record(const std::string& key, const Assignment& got, double tolerance) {
  CAPTURE(key);
  check_values(got.rows, golden(key), tolerance);
  CHECK(got.mean_entropy.item() == doctest::Approx(golden(key + "_health")[0]).epsilon(tolerance));
  CHECK(got.used.item() == doctest::Approx(golden(key + "_health")[1]).epsilon(tolerance));
}

Tensor random(const Shape& shape, uint64_t seed) {
  return draw_inputs({{.shape = shape, .differentiable = false}}, DType::f32, seed)[0];
}

}  // namespace

TEST_CASE("sinkhorn on every device: assignments and their health equal NumPy's") {
  const Tensor scores = cosines(S({4, 6}, 0.3)), queue = cosines(S({5, 6}, 2.3));
  const auto check_all = [&](const std::function<Tensor(const Tensor&)>& as, double tolerance) {
    check_record("three_rounds", sinkhorn(as(scores)), tolerance);
    check_record("three_rounds", sinkhorn(as(scores), {.extra = as(queue), .use_extra = 0}), tolerance);
    check_record("one_round", sinkhorn(as(scores), {.rounds = 1}), tolerance);
    check_record("queue", sinkhorn(as(scores), {.extra = as(queue)}), tolerance);
    check_record("chunks",
                 sinkhorn(as(S({37, 70}, 0.4)), {.epsilon = 0.25, .rounds = 4, .extra = as(S({21, 70}, 0.8))}),
                 tolerance);
  };
  check_all([](const Tensor& x) { return x; }, 1e-9);
  for (Device device : devices()) {
    CAPTURE(name(device));
    check_all([&](const Tensor& x) { return x.to(DType::f32).to(device); }, 1e-5);
  }
}

TEST_CASE("sinkhorn: SwAV's loss of two views and its gradients equal PyTorch's") {
  const Tensor a = S_leaf({4, 6}, 0.3), b = S_leaf({4, 6}, 1.1);
  const Tensor scores = concat(cosines(a), cosines(b));
  const Tensor targets = concat(sinkhorn(scores.slice(0, 4)).rows, sinkhorn(scores.slice(4, 8)).rows);
  check_golden(soft_cross_entropy(scores, targets, 4, {.probabilities = true}).loss, {a, b}, golden("swav"));
}

TEST_CASE("sinkhorn: without a round it is a softmax; with many, every class gets its even share") {
  const Tensor scores = S({30, 10}, 0.7);
  CHECK(relative_error(sinkhorn(scores, {.epsilon = 0.5, .rounds = 0}).rows, softmax(S({30, 10}, 0.7, 2))) < 1e-12);
  const Assignment many = sinkhorn(scores, {.epsilon = 0.5, .rounds = 300});
  std::vector<double> shares(10, 0.0);
  const std::vector<double> rows = many.rows.values64();
  for (size_t i = 0; i < rows.size(); ++i) shares[i % 10] += rows[i];
  for (double share : shares) CHECK(share == doctest::Approx(3).epsilon(1e-9));
  CHECK(many.mean_entropy.item() == doctest::Approx(std::log(10.0)));
  CHECK(many.used.item() == 1);
}

TEST_CASE("sinkhorn: bitwise the same on one thread and on three") {
  const Tensor scores = random({150, 700}, 3), queue = random({100, 700}, 4);
  const auto run = [&](int count) {
    const Threads team(count);
    return sinkhorn(scores, {.epsilon = 0.2, .extra = queue}).rows.values();
  };
  const std::vector<float> one = run(1);
  CHECK(run(3) == one);
  CHECK(run(2) == one);
}

TEST_CASE("sinkhorn on every device: rows sum to 1 where scores are far apart and classes get nothing") {
  Tensor scores = Tensor::zeros({6, 5});
  for (int64_t i = 0; i < 30; ++i) scores.data<float>()[i] = static_cast<float>(i % 5 * 1000 + i / 5 * 5000);
  for (Device device : devices()) {
    CAPTURE(name(device));
    const std::vector<double> rows = sinkhorn(scores.to(device)).rows.values64();
    for (size_t r = 0; r < 6; ++r) {
      double sum = 0;
      for (size_t j = 0; j < 5; ++j) sum += rows[5 * r + j];
      CHECK(sum == doctest::Approx(1).epsilon(1e-6));
    }
  }
}

TEST_CASE("sinkhorn: in a captured graph extra rows come in when their number says so" * doctest::skip(without_cuda)) {
  const Tensor scores = random({20, 33}, 5).to(Device::cuda), queue = random({40, 33}, 6).to(Device::cuda);
  StepNumber<double> on;
  on.set(0, Device::cuda);
  Assignment got;
  Graph graph;
  graph.capture([&] { got = sinkhorn(scores, {.epsilon = 0.5, .extra = queue, .use_extra = on.get()}); });
  const auto replayed = [&](double use) {
    on.set(use, Device::cuda);
    graph.launch();
    return got.rows.values();
  };
  CHECK(replayed(0) == sinkhorn(scores, {.epsilon = 0.5}).rows.values());
  CHECK(replayed(1) == sinkhorn(scores, {.epsilon = 0.5, .extra = queue}).rows.values());
  CHECK(replayed(0) == sinkhorn(scores, {.epsilon = 0.5}).rows.values());
}

}  // namespace gestalt::test
