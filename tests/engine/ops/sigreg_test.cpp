// SIGReg and the distance of views against PyTorch, its directions, on one thread and on three, in a captured graph.
#include "engine/ops/sigreg.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "engine/ops/covariance.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "engine/tensor/graph.h"
#include "engine/tensor/random.h"
#include "engine/tensor/step_number.h"
#include "kernels/sincos.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/method_goldens.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

std::vector<double> golden(const std::string& key) { return golden_values("sigreg.json", key); }

// Directions (M, D) from columns of (D, M).
Tensor directions(const Tensor& columns) {
  const int64_t dim = columns.dim(0), count = columns.dim(1);
  const std::vector<double> from = columns.values64();
  std::vector<double> rows(from.size());
  for (int64_t m = 0; m < count; ++m) {
    double squares = 0;
    for (int64_t d = 0; d < dim; ++d) squares += from[d * count + m] * from[d * count + m];
    for (int64_t d = 0; d < dim; ++d) rows[m * dim + d] = from[d * count + m] / std::sqrt(squares);
  }
  return Tensor::from(rows, {count, dim});
}

}  // namespace

TEST_CASE("sigreg: sines and cosines are as near as they say") {
  double worst = 0;
  for (int i = -400000; i <= 400000; ++i) {
    const float x = 0.0025f * static_cast<float>(i);
    const auto [sine, cosine] = fast_sincos(x);
    worst = std::max({worst, std::abs(sine - std::sin(static_cast<double>(x))),
                      std::abs(cosine - std::cos(static_cast<double>(x)))});
  }
  MESSAGE("largest error up to 1000: ", worst);
  CHECK(worst < 1.2e-7);
  for (float x : {1e30f, -1e30f, 65537.0f}) CHECK(fast_sincos(x).sine == fast_sincos(std::copysign(65536.0f, x)).sine);
}

TEST_CASE("sigreg: the statistic and its gradient equal PyTorch's") {
  const Tensor slices = directions(S({6, 2}, 0.9));
  const Tensor z = S_leaf({8, 6}, 0.4), views = S_leaf({8, 6}, 0.4);
  check_golden(epps_pulley(linear(z, slices)), {z}, golden("sigreg"));
  check_golden(epps_pulley(linear(views, slices), 2), {views}, golden("sigreg_two_views"));
  const std::vector<double> four{0.5, -1, 1.5, 0.25, -0.75, 2, 0, -0.5}, two{1, 0, 0.6, 0.8};
  const Tensor points = Tensor::from(four, {4, 2}).require_grad();
  check_golden(epps_pulley(linear(points, Tensor::from(two, {2, 2}))), {points}, golden("sigreg_points"));
}

TEST_CASE("sigreg: the distance of views from their centre and its gradient equal PyTorch's") {
  const Tensor all = S_leaf({8, 6}, 0.4), two = S_leaf({8, 6}, 0.4);
  check_golden(view_distance(all, 4, 4), {all}, golden("distance"));
  check_golden(view_distance(two, 4, 2), {two}, golden("distance_two_centres"));
}

TEST_CASE("sigreg: column_deviations are standard deviations") {
  const std::vector<double> got = column_deviations(S({5, 3}, 0.7)).values64(), z = S({5, 3}, 0.7).values64();
  for (size_t j = 0; j < 3; ++j) {
    double mean = 0, squares = 0;
    for (size_t i = 0; i < 5; ++i) mean += z[3 * i + j] / 5;
    for (size_t i = 0; i < 5; ++i) squares += (z[3 * i + j] - mean) * (z[3 * i + j] - mean);
    CHECK(got[j] == doctest::Approx(std::sqrt(squares / 4 + 1e-4)));
  }
}

TEST_CASE("sigreg: on every device the statistic tells normal embeddings from a point and from a sphere") {
  for (Device device : devices()) {
    CAPTURE(name(device));
    const Tensor slices = random_slices(256, 64, 1, 0, device);
    const auto of = [&](const Tensor& z) { return static_cast<double>(epps_pulley(linear(z, slices)).item()); };
    const Tensor z = Random(3).normal({256, 64}, 0, 1).to(device);
    // Balestriero and LeCun's statistic has the mean 1.05 of N(0, 1); a single draw stays close.
    CHECK(of(z) > 0.85);
    CHECK(of(z) < 1.25);
    CHECK(of(scale(z, 2)) > 50);
    CHECK(of(scale(z, 0)) == doctest::Approx(102.92).epsilon(1e-3));
  }
}

TEST_CASE("sigreg: the statistic is bitwise the same on one thread and on three") {
  const auto run = [](int count) {
    const Threads team(count);
    Tensor z = Random(5).normal({130, 70}, 0, 1).require_grad();
    const Tensor loss =
        add(epps_pulley(linear(z, random_slices(150, 70, 2, 3, Device::cpu)), 2), view_distance(z, 5, 2));
    loss.backward();
    std::vector<float> all = z.grad().values();
    all.push_back(static_cast<float>(loss.item()));
    return all;
  };
  const std::vector<float> one = run(1);
  CHECK(run(3) == one);
  CHECK(run(2) == one);
}

TEST_CASE("sigreg: a captured step looks from new directions each time" * doctest::skip(without_cuda)) {
  Tensor z = Random(7).normal({40, 12}, 0, 1).to(Device::cuda).detach().require_grad();
  Tensor loss;
  StepNumber<uint64_t> number;
  number.set(0, Device::cuda);
  const auto step = [&] {
    z.set_grad({});
    loss = epps_pulley(linear(z, random_slices(20, 12, 1, number.get(), Device::cuda)), 2);
    loss.backward();
    loss = loss.detach();
  };
  const auto run = [&](const std::function<void()>& once) {
    std::vector<float> all;
    for (uint64_t n : {3, 4, 5}) {
      number.set(n, Device::cuda);
      once();
      for (const Tensor& x : {loss, z.grad()})
        for (float v : x.values()) all.push_back(v);
    }
    return all;
  };
  const std::vector<float> direct = run(step);
  Graph graph;
  graph.capture(step);
  CHECK(run([&] { graph.launch(); }) == direct);
  CHECK(direct[0] != direct[481]);
}

}  // namespace gestalt::test
