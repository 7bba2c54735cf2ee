// Where a k-means begins: distinct rows, or rows far from one another.
#include "engine/nn/k_means.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/nn/points.h"
#include "kernels/philox.h"

namespace gestalt {
namespace {

// A number in [0, 1) from 53 bits.
double uniform53(const Philox4& block, int half) {
  const uint32_t high = block.word[2 * half] >> 5, low = block.word[2 * half + 1] >> 6;
  return (static_cast<double>(high) * 67108864.0 + static_cast<double>(low)) * 0x1p-53;
}

// Where a k-means begins: numbers of rows.
class Seeder {
 public:
  Seeder(const Points& points, const KMeansOptions& options, int64_t restart)
      : points_(points), options_(options), restart_(static_cast<uint32_t>(restart)) {}

  std::vector<int64_t> rows() { return options_.seeding == Seeding::samples ? samples() : spread(); }

 private:
  double random(int64_t centre, int64_t candidate) const {
    return uniform53(draw(options_.seed, Use::clusters, options_.round, static_cast<uint32_t>(centre),
                          restart_ << 16 | static_cast<uint32_t>(candidate / 2)),
                     static_cast<int>(candidate % 2));
  }

  // The first steps of a Fisher-Yates shuffle.
  std::vector<int64_t> samples() const {
    std::vector<int64_t> order(points_.rows);
    std::iota(order.begin(), order.end(), 0);
    for (int64_t i = 0; i < options_.clusters; ++i) {
      const auto left = static_cast<double>(points_.rows - i);
      std::swap(order[i], order[i + static_cast<int64_t>(random(i, 0) * left)]);
    }
    order.resize(options_.clusters);
    return order;
  }

  // Of 2 + ⌊ln K⌋ candidates for a centre, the one that leaves the smallest potential: the sum of squared distances to
  // the nearest centre.
  std::vector<int64_t> spread() {
    const int64_t candidates = 2 + static_cast<int64_t>(std::log(static_cast<double>(options_.clusters)));
    std::vector<int64_t> chosen{static_cast<int64_t>(random(0, 0) * static_cast<double>(points_.rows))};
    nearest_.assign(points_.rows, std::numeric_limits<double>::infinity());
    take(nearer({chosen[0]}), 0, 1);
    while (static_cast<int64_t>(chosen.size()) < options_.clusters) {
      std::vector<int64_t> tried;
      for (int64_t c = 0; c < candidates; ++c)
        tried.push_back(row_at(random(static_cast<int64_t>(chosen.size()), c) * potential_));
      const std::vector<double> distances = nearer(tried);
      int64_t best = 0;
      double lowest = std::numeric_limits<double>::infinity();
      for (int64_t c = 0; c < candidates; ++c) {
        const double left = ordered_sum(points_.rows, [&](int64_t i) { return distances[i * candidates + c]; });
        if (left < lowest) lowest = left, best = c;
      }
      take(distances, best, candidates);
      chosen.push_back(tried[best]);
    }
    return chosen;
  }

  // (N, candidates): each row's squared distance to its nearest centre if a candidate, a row, becomes one.
  std::vector<double> nearer(const std::vector<int64_t>& candidates) const {
    const auto columns = static_cast<int64_t>(candidates.size());
    Tensor rows = Tensor::empty({columns, points_.dim});
    for (int64_t c = 0; c < columns; ++c)
      rows.slice(c, c + 1).copy_from(points_.x.slice(candidates[c], candidates[c] + 1));
    std::vector<double> distances(points_.rows * columns);
    points_.for_each_block(rows, {}, [&](int64_t first, const Tensor& products) {
      const float* product = products.data<float>();
      kernels::cpu::parallel_ranges(products.dim(0), 256, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          for (int64_t c = 0; c < columns; ++c) {
            const auto at = first + i;
            const double distance =
                points_.squares[at] + points_.squares[candidates[c]] - 2.0 * product[i * columns + c];
            distances[at * columns + c] = std::clamp(distance, 0.0, nearest_[at]);
          }
      });
    });
    for (int64_t c = 0; c < columns; ++c) distances[candidates[c] * columns + c] = 0;
    return distances;
  }

  void take(const std::vector<double>& distances, int64_t column, int64_t columns) {
    for (size_t i = 0; i < nearest_.size(); ++i) nearest_[i] = distances[i * columns + column];
    potential_ = ordered_sum(
        points_.rows, [&](int64_t i) { return nearest_[i]; }, &parts_);
  }

  // The row in whose share of the potential `at` lies.
  int64_t row_at(double at) const {
    int64_t part = 0;
    const auto parts = static_cast<int64_t>(parts_.size());
    while (part + 1 < parts && at >= parts_[part]) at -= parts_[part++];
    const int64_t end = std::min(points_.rows, (part + 1) * sum_rows);
    int64_t row = part * sum_rows;
    while (row + 1 < end && at >= nearest_[row]) at -= nearest_[row++];
    return row;
  }

  const Points& points_;
  const KMeansOptions& options_;
  uint32_t restart_;
  std::vector<double> nearest_, parts_;  // squared distances to the nearest centre so far; their sums by part
  double potential_ = 0;
};

}  // namespace

std::vector<int64_t> seed_rows(const Points& points, const KMeansOptions& options, int64_t restart) {
  return Seeder(points, options, restart).rows();
}

}  // namespace gestalt
