// Losses between views, nearest neighbours and the collapse meter against independent values and against themselves.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/nn/eigen.h"
#include "engine/ops/contrast.h"
#include "engine/ops/knn.h"
#include "engine/ops/pointwise.h"
#include "engine/tensor/allocator.h"
#include "tasks/training/spread.h"
#include "tests/engine/ops/op_table.h"
#include "tests/golden/nt_xent.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

// The matrix of tests/golden/nt_xent.py.
std::vector<double> wave(int64_t rows, int64_t dim, double phase) {
  std::vector<double> x(rows * dim);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t d = 0; d < dim; ++d)
      x[i * dim + d] = std::sin(0.7 * i + 1.3 * d + 0.05 * i * d + phase) + 0.5 * std::cos(0.37 * d);
  return x;
}

Tensor leaf(const std::vector<double>& values, const Shape& shape, DType dtype = DType::f64) {
  Tensor t = Tensor::from(values, shape).to(dtype).detach();
  return t.require_grad();
}

Tensor random(const Shape& shape, DType dtype = DType::f32, uint64_t seed = 5) {
  return draw_inputs({activation(shape)}, dtype, seed)[0];
}

// The largest difference, relative to the largest value.
double worst(const Tensor& got, std::span<const double> expected) {
  const std::vector<double> x = got.values64();
  REQUIRE(x.size() == expected.size());
  double difference = 0, largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    difference = std::max(difference, std::isfinite(x[i]) ? std::abs(x[i] - expected[i]) : INFINITY);
    largest = std::max(largest, std::abs(expected[i]));
  }
  return difference / largest;
}

struct Step {
  double loss;
  Tensor grad;
};
Step nt_xent_step(Tensor z, double temperature) {
  z.set_grad({});
  const Tensor loss = nt_xent(z, temperature);
  loss.backward();
  return {loss.item(), z.grad()};
}

bool finite(const Tensor& t) {
  const std::vector<double> x = t.values64();
  return std::all_of(x.begin(), x.end(), [](double v) { return std::isfinite(v); });
}

TEST_CASE("contrast: nt_xent agrees with PyTorch") {
  for (auto [type, tolerance] : {std::pair{DType::f64, 1e-9}, {DType::f32, 1e-4}}) {
    const DType dtype = type;  // clang 14 captures no structured binding
    CAPTURE(name(dtype));
    const Step small = nt_xent_step(leaf(wave(6, 5, 0.2), {6, 5}, dtype), 0.5);
    CHECK(small.loss == doctest::Approx(golden::nt_xent_6_loss[0]).epsilon(tolerance));
    CHECK(worst(small.grad, golden::nt_xent_6_grad) < tolerance);
    const Step middle = nt_xent_step(leaf(wave(34, 20, 0.2), {34, 20}, dtype), 0.2);
    CHECK(middle.loss == doctest::Approx(golden::nt_xent_34_loss[0]).epsilon(tolerance));
    CHECK(worst(middle.grad, golden::nt_xent_34_grad) < tolerance);

    const Step large = nt_xent_step(leaf(wave(130, 128, 0.2), {130, 128}, dtype), 0.05);
    CHECK(large.loss == doctest::Approx(golden::nt_xent_130_loss[0]).epsilon(tolerance));
    const std::vector<double> g = large.grad.values64(), w = wave(2, 128, 0.2);
    std::vector<double> projection(130 * 2, 0.0);
    for (int64_t i = 0; i < 130 * 128; ++i)
      for (int64_t c = 0; c < 2; ++c) projection[i / 128 * 2 + c] += g[i] * w[c * 128 + i % 128];
    CHECK(worst(Tensor::from(projection, {130, 2}), golden::nt_xent_130_projection) < tolerance);
  }
}

TEST_CASE("contrast: cosine_loss agrees with PyTorch") {
  const Tensor p = leaf(wave(7, 12, 0.2), {7, 12}), z = leaf(wave(7, 12, 1.1), {7, 12});
  const Tensor loss = cosine_loss(p, z);
  loss.backward();
  CHECK(loss.item() == doctest::Approx(golden::cosine_loss[0]).epsilon(1e-9));
  CHECK(worst(p.grad(), golden::cosine_grad_p) < 1e-9);
  CHECK(worst(z.grad(), golden::cosine_grad_z) < 1e-9);
}

TEST_CASE("contrast: a detached target of cosine_loss gets no gradient") {
  const Tensor p = random({5, 6}), z = random({5, 6}, DType::f32, 6);
  cosine_loss(p, z.detach()).backward();
  CHECK(p.grad());
  CHECK(!z.grad());
}

TEST_CASE("contrast: permuting pairs of nt_xent permutes gradients") {
  const int64_t pairs = 75, dim = 12;  // 7 and 75 have no common factor
  const std::vector<double> z = wave(2 * pairs, dim, 0.4);
  std::vector<double> moved(z.size());
  const auto place = [&](int64_t i) { return i / pairs * pairs + i % pairs * 7 % pairs; };
  for (int64_t i = 0; i < 2 * pairs; ++i) std::copy_n(&z[i * dim], dim, &moved[place(i) * dim]);
  const Step a = nt_xent_step(leaf(z, {2 * pairs, dim}), 0.3), b = nt_xent_step(leaf(moved, {2 * pairs, dim}), 0.3);
  CHECK(a.loss == doctest::Approx(b.loss).epsilon(1e-12));
  const std::vector<double> ga = a.grad.values64();
  std::vector<double> expected(ga.size());
  for (int64_t i = 0; i < 2 * pairs; ++i) std::copy_n(&ga[i * dim], dim, &expected[place(i) * dim]);
  CHECK(worst(b.grad, expected) < 1e-11);
}

TEST_CASE("contrast: nt_xent is bitwise the same on one thread, on three and again") {
  const Tensor z = random({530, 40});
  const auto step = [&](int count) {
    const Threads threads(count);
    return nt_xent_step(z, 0.1);
  };
  const Step one = step(1), three = step(3), again = step(3);
  CHECK(one.loss == three.loss);
  CHECK(one.grad.values() == three.grad.values());
  CHECK(three.grad.values() == again.grad.values());
}

TEST_CASE("contrast: nt_xent of degenerate batches stays finite") {
  for (double temperature : {0.014, 0.05, 0.5}) {
    CAPTURE(temperature);
    const Step equal = nt_xent_step(leaf(std::vector<double>(140 * 9, -0.3), {140, 9}, DType::f32), temperature);
    CHECK(equal.loss == doctest::Approx(std::log(139.0)).epsilon(1e-4));
    CHECK(worst(equal.grad, std::vector<double>(140 * 9, 1.0)) < 1 + 1e-4);

    std::vector<double> z = wave(20, 6, 0);
    std::fill(z.begin() + 12, z.begin() + 18, 0.0);
    const Step zero_row = nt_xent_step(leaf(z, {20, 6}, DType::f32), temperature);
    CHECK(std::isfinite(zero_row.loss));
    CHECK(finite(zero_row.grad));
    CHECK(zero_row.grad.values()[12] == 0);

    std::vector<double> opposite(2 * 8);  // the positive pair is the worst match there is
    for (int64_t d = 0; d < 8; ++d) opposite[d] = -(opposite[8 + d] = d - 3.0);
    const Step one_pair = nt_xent_step(leaf(opposite, {2, 8}, DType::f32), temperature);
    CHECK(std::abs(one_pair.loss) < 1e-4);
    CHECK(finite(one_pair.grad));
  }
}

TEST_CASE("contrast: nt_xent at 4096 × 128 holds less than 10 MB") {
  const Tensor z = random({4096, 128});
  const size_t before = allocator_stats(Device::cpu).in_use;
  reset_peak(Device::cpu);
  nt_xent(z, 0.5).backward();
  CHECK(allocator_stats(Device::cpu).peak - before < 10'000'000);  // its similarities alone would be 67 MB
}

// Predictions by sorting all similarities, in f64.
std::vector<int32_t> brute_force(const Tensor& queries, const Tensor& bank, const std::vector<int32_t>& labels,
                                 int64_t k, double temperature, int64_t classes) {
  const std::vector<double> q = queries.values64(), b = bank.values64();
  const int64_t dim = bank.dim(1), rows = bank.dim(0);
  const auto cosine = [&](const double* x, const double* y) {
    double xx = 0, yy = 0, xy = 0;
    for (int64_t d = 0; d < dim; ++d) xx += x[d] * x[d], yy += y[d] * y[d], xy += x[d] * y[d];
    return xy / std::sqrt(xx * yy);
  };
  std::vector<int32_t> predictions;
  for (int64_t i = 0; i < queries.dim(0); ++i) {
    std::vector<std::pair<double, int32_t>> all;
    for (int64_t j = 0; j < rows; ++j) all.emplace_back(-cosine(&q[i * dim], &b[j * dim]), static_cast<int32_t>(j));
    std::sort(all.begin(), all.end());
    std::vector<double> votes(classes, 0.0);
    for (int64_t j = 0; j < std::min(k, rows); ++j)
      votes[labels[all[j].second]] += std::exp(-all[j].first / temperature);
    predictions.push_back(static_cast<int32_t>(std::max_element(votes.begin(), votes.end()) - votes.begin()));
  }
  return predictions;
}

TEST_CASE("contrast: knn_predict agrees with brute force") {
  const int64_t classes = 10;
  for (auto [count, bank_rows, dim, k] :
       {std::array<int64_t, 4>{70, 333, 37, 20}, {3, 2111, 5, 200}, {131, 8, 300, 20}}) {
    const int64_t rows = bank_rows;
    CAPTURE(rows);
    std::vector<int32_t> labels(rows);
    for (int64_t i = 0; i < rows; ++i) labels[i] = static_cast<int32_t>(i * i % 23 % classes);
    for (DType dtype : {DType::f64, DType::f32, DType::bf16}) {
      CAPTURE(name(dtype));
      const Tensor queries = random({count, dim}, dtype, 21), bank = random({rows, dim}, dtype, 22);
      const std::vector<int32_t> got = knn_predict(queries, bank, Tensor::from(labels, {rows}), k, 0.07, classes);
      const std::vector<int32_t> expected = brute_force(queries, bank, labels, k, 0.07, classes);
      // Rounding may exchange two classes whose votes are all but equal.
      const int64_t allowed = dtype == DType::f64 ? 0 : 1;
      REQUIRE(got.size() == expected.size());
      int64_t different = 0;
      for (size_t i = 0; i < got.size(); ++i) different += got[i] != expected[i];
      CHECK(different <= allowed);
      const Threads threads(3);
      CHECK(got == knn_predict(queries, bank, Tensor::from(labels, {rows}), k, 0.07, classes));
    }
  }
}

TEST_CASE("contrast: knn_predict breaks ties by the lowest index, then the lowest class") {
  const Tensor query = Tensor::from(std::vector<float>{1, 2}, {1, 2});
  const Tensor bank = Tensor::full({300, 2}, 1);  // all at the same similarity
  std::vector<int32_t> labels(300, 1);
  std::fill(labels.begin(), labels.begin() + 5, 2);
  CHECK(knn_predict(query, bank, Tensor::from(labels, {300}), 5, 0.1, 3)[0] == 2);
  CHECK(knn_predict(query, bank, Tensor::from(labels, {300}), 10, 0.1, 3)[0] == 1);
  CHECK(knn_predict(query, bank, Tensor::from(labels, {300}), 11, 0.1, 3)[0] == 1);
}

TEST_CASE("contrast: knn_predict refuses what does not fit") {
  const Tensor x = Tensor::zeros({4, 3}), labels = Tensor::from(std::vector<int32_t>{0, 1, 2, 3}, {4});
  CHECK_THROWS_WITH_AS(knn_predict(x, Tensor::zeros({4, 2}), labels, 1, 0.1, 4), doctest::Contains("(4, 2)"), Error);
  CHECK_THROWS_WITH_AS(knn_predict(x, x, labels, 1, 0.1, 3), doctest::Contains("label 3 in row 3"), Error);
  CHECK_THROWS_WITH_AS(knn_predict(x, x, labels, 0, 0.1, 4), doctest::Contains("k 0"), Error);
  CHECK_THROWS_WITH_AS(knn_predict(x, x, x, 1, 0.1, 4), doctest::Contains("labels f32"), Error);
}

std::vector<double> uneven(int64_t rows, int64_t dim) {
  std::vector<double> x(rows * dim);
  for (int64_t i = 0; i < rows * dim; ++i)
    x[i] = std::sin(static_cast<double>(i) * i * 0.011 + 0.3) * std::pow(0.9, i % dim);
  return x;
}

TEST_CASE("contrast: spread agrees with numpy") {
  const Spread tall = spread(Tensor::from(uneven(40, 24), {40, 24}));
  CHECK(tall.std == doctest::Approx(golden::spread_tall[0]).epsilon(1e-9));
  CHECK(tall.effective_rank == doctest::Approx(golden::spread_tall[1]).epsilon(1e-9));
  const Spread wide = spread(Tensor::from(uneven(30, 50), {30, 50}));
  CHECK(wide.std == doctest::Approx(golden::spread_wide[0]).epsilon(1e-9));
  CHECK(wide.effective_rank == doctest::Approx(golden::spread_wide[1]).epsilon(1e-9));
}

TEST_CASE("contrast: spread tells collapse from spread") {
  const Spread healthy = spread(random({2000, 32}));
  CHECK(healthy.std == doctest::Approx(1).epsilon(0.05));
  CHECK(healthy.effective_rank > 31);
  const Spread collapsed = spread(Tensor::full({100, 32}, 0.7));
  CHECK(collapsed.std < 1e-6);
  CHECK(collapsed.effective_rank == doctest::Approx(1).epsilon(1e-4));
  const Spread nothing = spread(Tensor::zeros({100, 32}));
  CHECK(nothing.std == 0);
  CHECK(nothing.effective_rank == 1);
  CHECK(std::isnan(spread(Tensor::full({100, 32}, NAN)).effective_rank));
}

TEST_CASE("contrast: eigenvalues of a matrix that has them in closed form") {
  const int64_t n = 200;  // second differences: 2 − 2 cos(π k / (n + 1)), here hidden by a similarity transform
  std::vector<double> a(n * n, 0.0);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t r = i * 63 % n, next = (i + 1) * 63 % n;
    a[r * n + r] = 2;
    if (i + 1 < n) a[r * n + next] = a[next * n + r] = -1;
  }
  std::vector<double> got = symmetric_eigenvalues(a, n);
  std::sort(got.begin(), got.end());
  for (int64_t k = 0; k < n; ++k)
    CHECK(got[k] == doctest::Approx(2 - 2 * std::cos(M_PI * (k + 1) / (n + 1))).epsilon(1e-9));
}

}  // namespace
}  // namespace gestalt::test
