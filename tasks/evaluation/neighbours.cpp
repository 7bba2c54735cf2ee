// Blocks of similarities and the best of each row so far.
#include "tasks/evaluation/neighbours.h"

#include <algorithm>
#include <limits>

#include "engine/data/images/sources.h"
#include "engine/ops/product.h"
#include "engine/ops/rows.h"
#include "engine/tensor/autograd.h"

namespace gestalt {
namespace {

constexpr int64_t query_rows = 512, bank_rows = 8192;  // of a block: 16 MiB of similarities

struct Candidate {
  float cosine;
  int32_t index;

  bool operator<(const Candidate& other) const {
    return cosine != other.cosine ? cosine > other.cosine : index < other.index;
  }
};

// The k nearest of what was offered, in offers of ascending index.
class Nearest {
 public:
  explicit Nearest(int64_t k) : k_(static_cast<size_t>(k)) { found_.reserve(2 * k_); }

  void offer(float cosine, int32_t index) {
    if (cosine <= bar_) return;
    found_.push_back({cosine, index});
    if (found_.size() == 2 * k_) shrink();
  }
  const std::vector<Candidate>& sorted() {
    std::sort(found_.begin(), found_.end());
    return found_;
  }

 private:
  void shrink() {
    std::nth_element(found_.begin(), found_.begin() + static_cast<int64_t>(k_) - 1, found_.end());
    found_.resize(k_);
    bar_ = found_[k_ - 1].cosine;
  }

  size_t k_;
  float bar_ = -std::numeric_limits<float>::infinity();
  std::vector<Candidate> found_;
};

}  // namespace

double Neighbours::distance(int64_t row) const {
  double sum = 0;
  for (int64_t j = 0; j < k; ++j) sum += 1 - static_cast<double>(cosine[static_cast<size_t>(row * k + j)]);
  return sum / static_cast<double>(k);
}

Neighbours nearest_neighbours(const Tensor& rows, int64_t k, int threads) {
  const NoGrad off;
  const int64_t count = rows.dim(0);
  check(rows.rank() == 2 && count >= 2 && k >= 1, "[neighbours] got rows {} and k {}, expected (N, D) with N ≥ 2",
        rows.shape().text(), k);
  const Tensor unit = normalize(rows);
  Neighbours all;
  all.k = std::min(k, count - 1);
  all.index.resize(static_cast<size_t>(count * all.k));
  all.cosine.resize(all.index.size());
  for (int64_t q = 0; q < count; q += query_rows) {
    const int64_t queries = std::min(query_rows, count - q);
    std::vector<Nearest> nearest(static_cast<size_t>(queries), Nearest(all.k));
    for (int64_t b = 0; b < count; b += bank_rows) {
      const int64_t columns = std::min(bank_rows, count - b);
      const Tensor block = linear(unit.slice(q, q + queries), unit.slice(b, b + columns)).to(Device::cpu);
      parallel_for(queries, threads, [&](int64_t i) {
        const float* cosines = block.data<float>() + i * columns;
        for (int64_t j = 0; j < columns; ++j)
          if (b + j != q + i) nearest[i].offer(cosines[j], static_cast<int32_t>(b + j));
      });
    }
    for (int64_t i = 0; i < queries; ++i) {
      const std::vector<Candidate>& sorted = nearest[i].sorted();
      for (int64_t j = 0; j < all.k; ++j) {
        all.index[(q + i) * all.k + j] = sorted[j].index;
        all.cosine[(q + i) * all.k + j] = sorted[j].cosine;
      }
    }
  }
  return all;
}

Chosen choose_diverse(const Tensor& rows, int64_t count, int64_t first, const std::vector<bool>& eligible) {
  const NoGrad off;
  const int64_t size = rows.dim(0);
  check(first >= 0 && first < size && static_cast<int64_t>(eligible.size()) == size,
        "[choose] got row {} and {} marks for {} rows", first, eligible.size(), size);
  count = std::min<int64_t>(count, std::count(eligible.begin(), eligible.end(), true));
  const Tensor unit = normalize(rows);
  std::vector<float> nearest(static_cast<size_t>(size), -1);  // cosine to the nearest that is chosen
  std::vector<bool> open = eligible;
  Chosen chosen;
  for (int64_t next = first; count > 0;) {
    chosen.rows.push_back(static_cast<int32_t>(next));
    chosen.distances.push_back(1 - static_cast<double>(nearest[next]));
    open[next] = false;
    if (static_cast<int64_t>(chosen.rows.size()) == count) break;
    const std::vector<float> cosines = linear(unit, unit.slice(next, next + 1)).values();
    next = -1;
    for (int64_t i = 0; i < size; ++i) {
      nearest[i] = std::max(nearest[i], cosines[i]);
      if (open[i] && (next < 0 || nearest[i] < nearest[next])) next = i;
    }
  }
  return chosen;
}

}  // namespace gestalt
