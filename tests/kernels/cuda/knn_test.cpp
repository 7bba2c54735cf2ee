// Nearest neighbours on CUDA (real or emulated) against the CPU, in every order of threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/ops/knn.h"
#include "tests/devices.h"
#include "tests/golden_step.h"
#include "tests/kernels/cuda/orders.h"

namespace gestalt::test {
namespace {

constexpr double temperature = 0.07;
constexpr double close = 1e-5;  // what similarities of a device may be off by

struct Vote {
  double similarity;
  int32_t label;
};

// All rows' votes for a query, in f64.
std::vector<Vote> votes_of(const Tensor& queries, const Tensor& bank, const std::vector<int32_t>& labels,
                           size_t query) {
  const auto dim = static_cast<size_t>(bank.dim(1));
  const std::vector<float> q = queries.values(), b = bank.values();
  const auto dot = [&](const float* x, const float* y) {
    double sum = 0;
    for (size_t i = 0; i < dim; ++i) sum += double{x[i]} * y[i];
    return sum;
  };
  const float* at = q.data() + query * dim;
  std::vector<Vote> votes;
  for (size_t i = 0; i < labels.size(); ++i) {
    const float* row = b.data() + i * dim;
    votes.push_back({dot(at, row) / std::sqrt(dot(at, at) * dot(row, row)), labels[i]});
  }
  return votes;
}

// Whether the class wins for some similarities that are off by no more than `close`: it has the most votes it can get,
// any other the fewest.
bool may_be(int32_t predicted, std::vector<Vote> votes, int64_t k, int32_t classes) {
  const size_t counted = std::min(votes.size(), static_cast<size_t>(k));
  std::sort(votes.begin(), votes.end(), [](const Vote& a, const Vote& b) { return a.similarity > b.similarity; });
  const double last = votes[counted - 1].similarity;
  const auto weight = [](const Vote& v) { return std::exp(v.similarity / temperature); };
  std::vector<double> least(static_cast<size_t>(classes)), most(least.size());
  for (size_t i = 0; i < votes.size(); ++i) {
    const auto label = static_cast<size_t>(votes[i].label);
    const double gap = votes[i].similarity - last;
    const bool tied = counted < votes.size() && std::abs(gap) <= 2 * close;
    if (gap >= -2 * close) most[label] += weight(votes[i]);
    if (gap >= 0 && !tied) least[label] += weight(votes[i]);
  }
  const double highest = *std::max_element(least.begin(), least.end());
  return most[static_cast<size_t>(predicted)] * (1 + 4 * close / temperature) >= highest;
}

// Equal, but for queries that a hair decides.
template <class Close>
bool right(const std::vector<int32_t>& got, const std::vector<int32_t>& expected, Close&& is_close) {
  for (size_t i = 0; i < expected.size(); ++i)
    if (got[i] != expected[i] && !is_close(i)) return false;
  return got.size() == expected.size();
}

}  // namespace

TEST_CASE("cuda knn: predictions equal the CPU's, ties included" * doctest::skip(without_cuda)) {
  for (DType dtype : {DType::f32, DType::bf16})
    for (auto [queries, bank_rows, dim] : {std::array<int64_t, 3>{70, 130, 33}, {3, 300, 8}, {5, 4, 1}}) {
      const int64_t bank = bank_rows;
      CAPTURE(bank);
      const Tensor q = Tensor::from(hash_uniform("queries", queries * dim), {queries, dim}).to(dtype);
      const Tensor b = Tensor::from(hash_uniform("bank", bank * dim), {bank, dim}).to(dtype);
      std::vector<int32_t> labels(bank);
      for (int64_t i = 0; i < bank; ++i) labels[i] = static_cast<int32_t>(i * 7 % 11);
      const Tensor l = Tensor::from(std::span<const int32_t>(labels), Shape{bank});
      for (int64_t k : {1, 5, 200}) {
        CAPTURE(k);
        const std::vector<int32_t> expected = knn_predict(q, b, l, k, temperature, 11);
        in_every_order([&] {
          const std::vector<int32_t> got =
              knn_predict(q.to(Device::cuda), b.to(Device::cuda), l.to(Device::cuda), k, temperature, 11);
          CHECK(right(got, expected, [&](size_t i) { return may_be(got[i], votes_of(q, b, labels, i), k, 11); }));
          return std::vector<float>(got.begin(), got.end());
        });
      }
    }
  // All similarities equal: the k lowest indices vote, and of equal votes the lowest class wins.
  const Tensor same = Tensor::full({300, 4}, 2), query = Tensor::full({2, 4}, 0.5);
  std::vector<int32_t> labels(300, 0);
  for (int i = 0; i < 10; ++i) labels[i] = i < 5 ? 2 : 1;
  const Tensor l = Tensor::from(std::span<const int32_t>(labels), Shape{300}).to(Device::cuda);
  for (auto [k, expected] : {std::pair<int64_t, int32_t>{5, 2}, {10, 1}, {11, 1}})
    CHECK(knn_predict(query.to(Device::cuda), same.to(Device::cuda), l, k, 0.1, 3)[1] == expected);
}

}  // namespace gestalt::test
