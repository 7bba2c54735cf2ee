// Lloyd's algorithm on the host: products of blocks of rows, and sums in an order that no thread changes.
#include "engine/nn/k_means.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/nn/points.h"

namespace gestalt {
namespace {

// Which centre is nearest, the lowest of equal ones: that of the largest x·c − ‖c‖²/2.
void assign(const Points& points, const Tensor& centres, std::vector<int32_t>& to) {
  const int64_t count = centres.dim(0);
  Tensor bias;
  if (!points.spherical) {
    bias = Tensor::empty({count});
    for (int64_t c = 0; c < count; ++c)
      bias.data<float>()[c] =
          static_cast<float>(-0.5 * squared_distance(centres.data<float>() + c * points.dim, nullptr, points.dim));
  }
  points.for_each_block(centres, bias, [&](int64_t first, const Tensor& scores) {
    const float* all = scores.data<float>();
    kernels::cpu::parallel_ranges(scores.dim(0), 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float* score = all + i * count;
        float best = score[0];
#pragma omp simd reduction(max : best)
        for (int64_t c = 0; c < count; ++c) best = std::max(best, score[c]);
        to[first + i] = static_cast<int32_t>(std::find(score, score + count, best) - score);
      }
    });
  });
}

// Groups of rows by their centre, each in ascending order.
struct Members {
  std::vector<int64_t> begin;  // (K + 1): where each group begins in `rows`
  std::vector<int64_t> rows;   // (N)

  Members(const std::vector<int32_t>& assigned, int64_t clusters) : begin(clusters + 1, 0), rows(assigned.size()) {
    for (int32_t c : assigned) ++begin[c + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    std::vector<int64_t> next(begin);
    for (size_t i = 0; i < assigned.size(); ++i) rows[next[assigned[i]]++] = static_cast<int64_t>(i);
  }
  int64_t size(int64_t c) const { return begin[c + 1] - begin[c]; }
};

// Lloyd's algorithm from `centres` on, which lie where the points do.
class Lloyd {
 public:
  Lloyd(const Points& points, const KMeansOptions& options, Tensor centres)
      : points_(points), options_(options), centres_(std::move(centres)), assigned_(points.rows) {}

  Clusters run() {
    std::vector<int32_t> before;
    bool settled = false;
    int64_t iteration = 0;
    while (iteration < options_.iterations && !settled) {
      assign(points_, centres_, assigned_);
      settled = assigned_ == before;
      ++iteration;
      if (!settled && update() <= options_.tolerance * points_.variance && options_.tolerance > 0) break;
      before = assigned_;
    }
    if (!settled) assign(points_, centres_, assigned_);
    return result(iteration);
  }

 private:
  double distance(int64_t row) const {
    return squared_distance(points_.row(row), centres_.data<float>() + assigned_[row] * points_.dim, points_.dim);
  }

  // Moves each centre to the mean of its members; returns the sum of the squared moves.
  double update() {
    const Members members(assigned_, options_.clusters);
    const int64_t dim = points_.dim;
    std::vector<double> sums(options_.clusters * dim, 0.0);
    std::vector<int64_t> counts(options_.clusters);
    kernels::cpu::parallel_ranges(options_.clusters, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        counts[c] = members.size(c);
        double* sum = sums.data() + c * dim;
        for (int64_t m = members.begin[c]; m < members.begin[c + 1]; ++m) {
          const float* row = points_.row(members.rows[m]);
#pragma omp simd
          for (int64_t d = 0; d < dim; ++d) sum[d] += row[d];
        }
      }
    });
    if (options_.empty == EmptyCluster::farthest) fill_empty(sums, counts);
    return move_to_means(sums, counts);
  }

  // Gives each empty cluster a row of its own: the farthest from its centre first, lowest of equal ones.
  void fill_empty(std::vector<double>& sums, std::vector<int64_t>& counts) const {
    if (std::find(counts.begin(), counts.end(), 0) == counts.end()) return;
    std::vector<double> distances(points_.rows);
    ordered_sum(points_.rows, [&](int64_t i) { return distances[i] = distance(i); });
    std::vector<int64_t> order(points_.rows);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return distances[a] > distances[b]; });
    size_t next = 0;
    for (size_t c = 0; c < counts.size(); ++c) {
      if (counts[c] > 0) continue;
      while (next < order.size() && counts[assigned_[order[next]]] < 2) ++next;
      if (next == order.size() || distances[order[next]] <= 0) return;  // fewer points than centres
      const int64_t row = order[next++], from = assigned_[row];
      --counts[from], counts[c] = 1;
      for (int64_t d = 0; d < points_.dim; ++d) {
        sums[from * points_.dim + d] -= points_.row(row)[d];
        sums[c * points_.dim + d] = points_.row(row)[d];
      }
    }
  }

  double move_to_means(const std::vector<double>& sums, const std::vector<int64_t>& counts) {
    double moved = 0;
    std::vector<float> centre(points_.dim);
    for (int64_t c = 0; c < options_.clusters; ++c) {
      if (counts[c] == 0) continue;
      float* at = centres_.data<float>() + c * points_.dim;
      const double share = 1 / static_cast<double>(counts[c]);
      for (int64_t d = 0; d < points_.dim; ++d) centre[d] = static_cast<float>(sums[c * points_.dim + d] * share);
      if (points_.spherical) {
        if (squared_distance(centre.data(), nullptr, points_.dim) < 1e-24) continue;  // members that cancel
        to_unit_length(centre.data(), points_.dim);
      }
      moved += squared_distance(centre.data(), at, points_.dim);
      std::copy(centre.begin(), centre.end(), at);
    }
    return moved;
  }

  Clusters result(int64_t iterations) {
    Clusters found{.centres = centres_,
                   .assignments = Tensor::from(assigned_, {points_.rows}),
                   .distances = Tensor::empty({points_.rows}),
                   .iterations = iterations};
    float* distances = found.distances.data<float>();
    found.inertia = ordered_sum(points_.rows, [&](int64_t i) {
      const double square = distance(i);
      distances[i] = static_cast<float>(std::sqrt(square));
      return square;
    });
    const Members members(assigned_, options_.clusters);
    for (int64_t c = 0; c < options_.clusters; ++c) found.empty += members.size(c) == 0;
    points_.place_back(found.centres);
    return found;
  }

  const Points& points_;
  const KMeansOptions& options_;
  Tensor centres_;
  std::vector<int32_t> assigned_;
};

void check_options(const Tensor& rows, const KMeansOptions& o) {
  check(rows.rank() == 2 && rows.dim(1) >= 1 && rows.dim(0) <= std::numeric_limits<int32_t>::max(),
        "[k_means] got rows {}, expected (N, D)", rows.shape().text());
  check(o.clusters >= 1 && o.clusters <= rows.dim(0),
        "[k_means] got {} clusters of {} rows, expected 1 to {}; use fewer", o.clusters, rows.dim(0), rows.dim(0));
  check(o.iterations >= 1 && o.restarts >= 1 && o.restarts < 65536 && o.tolerance >= 0,
        "[k_means] got {} iterations, {} restarts and tolerance {}, expected 1 or more, 1 to 65535, and 0 or more",
        o.iterations, o.restarts, o.tolerance);
}

}  // namespace

Clusters k_means(const Tensor& rows, const KMeansOptions& options) {
  check_options(rows, options);
  const Points points("k_means", rows, options.spherical);
  Clusters best;
  for (int64_t restart = 0; restart < options.restarts; ++restart) {
    Tensor start = Tensor::empty({options.clusters, points.dim});
    const std::vector<int64_t> chosen = seed_rows(points, options, restart);
    for (int64_t c = 0; c < options.clusters; ++c)
      start.slice(c, c + 1).copy_from(points.x.slice(chosen[c], chosen[c] + 1));
    Clusters found = Lloyd(points, options, start).run();
    if (restart == 0 || found.inertia < best.inertia) best = std::move(found);
  }
  return best;
}

Clusters k_means(const Tensor& rows, const Tensor& start, const KMeansOptions& options) {
  check_options(rows, options);
  check(start.shape() == Shape{options.clusters, rows.dim(1)}, "[k_means] got centres {}, expected ({}, {})",
        start.shape().text(), options.clusters, rows.dim(1));
  const Points points("k_means", rows, options.spherical);
  Tensor centres = start.to(Device::cpu).to(DType::f32).clone();
  points.place(centres);
  return Lloyd(points, options, centres).run();
}

}  // namespace gestalt
