// k-means against scikit-learn's, and its rules: where it begins, empty clusters, threads, what is refused.
#include "engine/nn/k_means.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/nn/points.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

// As tests/golden/clusters.py makes them.
Tensor grouped_rows(const std::string& name, int64_t count, int64_t dim, int64_t groups, double spread,
                    double shift = 0) {
  const std::vector<double> centres = hash_uniform(name + " centres", groups * dim);
  std::vector<double> rows = hash_uniform(name + " noise", count * dim);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t d = 0; d < dim; ++d)
      rows[i * dim + d] = 4 * centres[i % groups * dim + d] + spread * rows[i * dim + d] + shift;
  return Tensor::from(rows, {count, dim}).to(DType::f32);
}
Tensor plain_rows() { return grouped_rows("plain", 600, 7, 6, 3); }

Tensor picked(const Tensor& rows, const std::vector<int64_t>& numbers) {
  Tensor all = Tensor::empty({static_cast<int64_t>(numbers.size()), rows.dim(1)});
  for (size_t i = 0; i < numbers.size(); ++i)
    all.slice(static_cast<int64_t>(i), static_cast<int64_t>(i) + 1).copy_from(rows.slice(numbers[i], numbers[i] + 1));
  return all;
}

std::vector<int32_t> assignments_of(const Clusters& c) {
  return {c.assignments.data<int32_t>(), c.assignments.data<int32_t>() + c.assignments.count()};
}

void check_equal(const Clusters& got, const Json& expected) {
  CHECK(assignments_of(got) == expected.at("assignments").get<std::vector<int32_t>>());
  CHECK(got.inertia == doctest::Approx(expected.at("inertia").get<double>()).epsilon(1e-6));
  if (expected.contains("iterations")) CHECK(got.iterations == expected.at("iterations").get<int64_t>());
  const auto centres = expected.at("centres").get<std::vector<double>>(), values = got.centres.values64();
  REQUIRE(values.size() == centres.size());
  for (size_t i = 0; i < values.size(); ++i) CHECK(values[i] == doctest::Approx(centres[i]).epsilon(1e-5));
  double squares = 0;
  for (double distance : got.distances.values64()) squares += distance * distance;
  CHECK(squares == doctest::Approx(got.inertia).epsilon(1e-6));
}

}  // namespace

TEST_CASE("k-means from given centres: assignments, centres, iterations and inertia equal scikit-learn's") {
  const Json record = golden_record("clusters.json");
  const Tensor plain = plain_rows(), shifted = grouped_rows("shifted", 500, 5, 4, 2.5, 100);
  const auto run = [&](const char* name, const Tensor& rows, const std::vector<int64_t>& start, int64_t iterations,
                       double tolerance, bool spherical = false) {
    CAPTURE(name);
    check_equal(k_means(rows, picked(rows, start),
                        {.clusters = static_cast<int64_t>(start.size()),
                         .iterations = iterations,
                         .spherical = spherical,
                         .empty = spherical ? EmptyCluster::keep : EmptyCluster::farthest,
                         .tolerance = tolerance}),
                record.at(name));
  };
  run("plain", plain, {0, 1, 2, 3, 4, 5}, 300, 0);
  run("tolerant", plain, {0, 1, 2, 3, 4, 5, 6, 7, 8}, 300, 1e-2);
  run("few iterations", plain, {0, 1, 2, 3, 4, 5, 6, 7, 8}, 3, 0);
  run("shifted", shifted, {3, 4, 5, 6}, 300, 1e-4);
  run("empty", plain, {0, 1, 2, 3, 1}, 300, 1e-4);
  run("spherical", plain, {0, 1, 2, 3, 1}, 10, 0, true);
}

TEST_CASE("k-means begins with the rows that a second implementation draws") {
  const Json record = golden_record("clusters.json");
  const auto check_rows = [&](const char* name, Seeding seeding,
                              const std::vector<std::pair<int64_t, int64_t>>& draws) {
    const Points points("test", plain_rows(), false);
    for (size_t i = 0; i < draws.size(); ++i)
      CHECK(seed_rows(points, {.clusters = draws[i].first, .seeding = seeding, .seed = 5, .round = 2},
                      draws[i].second) == record.at(name).at(i).get<std::vector<int64_t>>());
  };
  check_rows("spread rows", Seeding::spread, {{1, 0}, {6, 0}, {25, 3}});
  check_rows("sample rows", Seeding::samples, {{1, 0}, {25, 0}, {600, 3}});
}

TEST_CASE("k-means: the same bits on one and several threads, from any device and dtype that holds the rows") {
  const Tensor rows = grouped_rows("many", 9000, 33, 40, 3);
  const auto run = [&](int threads, const Tensor& of) {
    const Threads team(threads);
    return k_means(of, {.clusters = 50, .iterations = 20, .restarts = 2, .seed = 3});
  };
  const Clusters one = run(1, rows);
  for (int threads : {2, 3}) {
    const Clusters several = run(threads, rows);
    CHECK(assignments_of(several) == assignments_of(one));
    CHECK(several.centres.values() == one.centres.values());
    CHECK(several.inertia == one.inertia);
  }
  for (Device device : devices()) CHECK(run(1, rows.to(device)).centres.values() == one.centres.values());
  const Tensor rounded = rows.to(DType::bf16);
  CHECK(run(1, rounded).inertia == run(1, rounded.to(DType::f32)).inertia);
}

TEST_CASE("k-means: more restarts give no higher inertia, other seeds and rounds begin elsewhere") {
  const Tensor rows = plain_rows();
  const auto inertia = [&](int64_t restarts, uint64_t seed, uint64_t round) {
    return k_means(rows, {.clusters = 12, .restarts = restarts, .seed = seed, .round = round}).inertia;
  };
  CHECK(inertia(8, 1, 0) <= inertia(1, 1, 0));
  CHECK(inertia(1, 1, 0) != inertia(1, 2, 0));
  CHECK(inertia(1, 1, 0) != inertia(1, 1, 1));
}

TEST_CASE("k-means: fewer distinct rows than centres leave clusters empty and nothing undefined") {
  const Tensor rows = Tensor::from(std::vector<float>{1, 1, 1, 1, 3, 3}, {6, 1});
  for (bool spherical : {false, true}) {
    const Clusters found = k_means(rows, {.clusters = 4, .spherical = spherical});
    CHECK(found.inertia == 0);
    CHECK(found.empty == (spherical ? 3 : 2));
    for (float centre : found.centres.values()) CHECK(std::isfinite(centre));
  }
}

TEST_CASE("k-means: what has no meaning is refused") {
  const Tensor rows = plain_rows();
  CHECK_THROWS_WITH_AS(k_means(rows, {.clusters = 601}), doctest::Contains("got 601 clusters of 600 rows"), Error);
  CHECK_THROWS_AS(k_means(rows, {.clusters = 0}), Error);
  CHECK_THROWS_AS(k_means(rows, {.restarts = 0}), Error);
  CHECK_THROWS_AS(k_means(rows.reshape({600, 7, 1}), {}), Error);
  CHECK_THROWS_AS(k_means(rows, rows.slice(0, 3), {.clusters = 4}), Error);
  Tensor bad = rows.clone();
  bad.data<float>()[17] = NAN;
  CHECK_THROWS_WITH_AS(k_means(bad, {}), doctest::Contains("NaN"), Error);
}

}  // namespace gestalt::test
