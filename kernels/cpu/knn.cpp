// Exact weighted nearest neighbours on the CPU: tiles of similarities and, per query, the best so far.
#include "kernels/knn.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/math.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int64_t query_rows = 64;         // rows of a tile
constexpr int64_t query_group = 1024;      // queries that share one walk over the bank
constexpr int64_t panel_elements = 65536;  // of the bank at a time: what the second-level cache holds besides the rest

// The k-th largest of `count` finite numbers, by halving between their bits: each round counts by vectors.
template <class S>
S kth_largest(const S* x, int64_t count, int64_t k) {
  using Bits = std::conditional_t<sizeof(S) == 4, int32_t, int64_t>;
  const auto number = [](Bits ordered) {  // ordered as integers are: what is negative has its other bits turned
    return std::bit_cast<S>(ordered ^ ((ordered >> (8 * sizeof(S) - 1)) & std::numeric_limits<Bits>::max()));
  };
  const auto ordered = [](S value) {
    const auto bits = std::bit_cast<Bits>(value);
    return bits ^ ((bits >> (8 * sizeof(S) - 1)) & std::numeric_limits<Bits>::max());
  };
  S least = x[0], most = x[0];
#pragma omp simd reduction(min : least) reduction(max : most)
  for (int64_t i = 0; i < count; ++i) least = smaller(least, x[i]), most = larger(most, x[i]);
  Bits low = ordered(least), high = ordered(most);  // k or more are at least `low`; the answer is in [low, high]
  while (low < high) {
    const Bits middle = (low & high) + ((low ^ high) >> 1) + ((low ^ high) & 1);  // rounded up, without overflow
    const S bar = number(middle);
    int32_t reach = 0;
#pragma omp simd reduction(+ : reach)
    for (int64_t i = 0; i < count; ++i) reach += x[i] >= bar;
    if (reach >= k)
      low = middle;
    else
      high = middle - 1;
  }
  return number(low);
}

// The k nearest of what was offered, in offers of ascending index.
template <class S>
class Nearest {
 public:
  explicit Nearest(int64_t k) : k_(k), similarity_(2 * k + stride), index_(2 * k + stride) {}

  // Offers similarities[0 … count), whose first has index `first`.
  void offer(const S* similarities, int64_t count, int32_t first) {
    for (int64_t begin = 0; begin < count; begin += stride) {
      const int64_t end = std::min(count, begin + stride);
      const S bar = bar_;
      int above = 0;
#pragma omp simd reduction(+ : above)
      for (int64_t j = begin; j < end; ++j) above += similarities[j] > bar;
      if (above == 0) continue;
      S* similarity = similarity_.data() + size_;
      int32_t* index = index_.data() + size_;
      int64_t kept = 0;
      for (int64_t j = begin; j < end; ++j) {  // writes each, keeps those above: no branch to mispredict
        similarity[kept] = similarities[j];
        index[kept] = first + static_cast<int32_t>(j);
        kept += similarities[j] > bar;
      }
      size_ += kept;
      if (size_ >= 2 * k_) shrink();
    }
  }

  // The k nearest, by ascending index.
  void finish() {
    if (size_ > k_) shrink();
  }
  int64_t size() const { return size_; }
  S similarity(int64_t i) const { return similarity_[i]; }
  int32_t index(int64_t i) const { return index_[i]; }

 private:
  static constexpr int64_t stride = 32;

  // Keeps k: those above the k-th, and of its equals the first. What stays keeps its order.
  void shrink() {
    S* similarity = similarity_.data();
    int32_t* index = index_.data();
    const S bar = kth_largest(similarity, size_, k_);
    int32_t above = 0;
#pragma omp simd reduction(+ : above)
    for (int64_t i = 0; i < size_; ++i) above += similarity[i] > bar;
    int64_t kept = 0, equals = k_ - above;
    for (int64_t i = 0; i < size_; ++i) {
      const S value = similarity[i];
      similarity[kept] = value;
      index[kept] = index[i];
      kept += value > bar || (value == bar && equals > 0);
      equals -= value == bar;
    }
    size_ = kept;
    bar_ = bar;  // a later equal has a higher index, and loses
  }

  int64_t k_, size_ = 0;
  S bar_ = std::numeric_limits<S>::lowest();
  std::vector<S> similarity_;
  std::vector<int32_t> index_;
};

// Writes `count` unit rows of x, padded with rows of zeros to `padded`.
template <class T, class S>
void unit_rows(const T* x, int64_t count, int64_t padded, int64_t dim, S* unit) {
  for (int64_t i = 0; i < count; ++i) {
    double squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t d = 0; d < dim; ++d)
      squares += static_cast<double>(x[i * dim + d]) * static_cast<double>(x[i * dim + d]);
    const S inverse = squares > 1e-24 ? static_cast<S>(1 / std::sqrt(squares)) : S(0);
#pragma omp simd
    for (int64_t d = 0; d < dim; ++d) unit[i * dim + d] = static_cast<S>(x[i * dim + d]) * inverse;
  }
  std::fill(unit + count * dim, unit + padded * dim, S(0));
}

template <class S>
int32_t vote(const Nearest<S>& nearest, const Knn& k, std::vector<double>& weight) {
  const int32_t* labels = k.labels.as<int32_t>();
  if (!labels && nearest.size() == 1) return nearest.index(0);
  S most = std::numeric_limits<S>::lowest();
  for (int64_t i = 0; i < nearest.size(); ++i) most = std::max(most, nearest.similarity(i));
  std::fill(weight.begin(), weight.end(), 0.0);
  for (int64_t i = 0; i < nearest.size(); ++i) {
    const int32_t label = labels ? labels[nearest.index(i)] : nearest.index(i);
    // Relative to the nearest one's, so that no temperature overflows.
    if (label >= 0 && label < k.classes)
      weight[label] += std::exp((static_cast<double>(nearest.similarity(i)) - most) / k.temperature);
  }
  return static_cast<int32_t>(std::max_element(weight.begin(), weight.end()) - weight.begin());
}

// Classifies queries [begin, end), at most query_group of them.
template <class T>
void classify(const Knn& k, int64_t begin, int64_t end) {
  using S = Accumulator<T>;
  constexpr int64_t width = tile_columns<S>;
  const T *queries = k.queries.as<T>(), *bank = k.bank.as<T>();
  const int64_t bank_rows = std::clamp<int64_t>(panel_elements / k.dim / width, 1, 16) * width;
  const int64_t neighbours = std::min(k.k, k.bank_count);
  const int64_t count = end - begin, padded = (count + query_rows - 1) / query_rows * query_rows;
  std::vector<S> query(padded * k.dim), rows(bank_rows * k.dim), panels(bank_rows * k.dim),
      tile(query_rows * bank_rows);
  unit_rows(queries + begin * k.dim, count, padded, k.dim, query.data());
  std::vector<Nearest<S>> nearest(count, Nearest<S>(neighbours));
  for (int64_t j = 0; j < k.bank_count; j += bank_rows) {
    const int64_t columns = std::min(bank_rows, k.bank_count - j);
    unit_rows(bank + j * k.dim, columns, bank_rows, k.dim, rows.data());
    make_panels(rows.data(), k.dim, bank_rows, k.dim, panels.data());
    for (int64_t i = 0; i < count; i += query_rows) {
      tile_product<S, Layout::rows, Layout::panels, false>(query.data() + i * k.dim, k.dim, panels.data(), 0,
                                                           query_rows, bank_rows, k.dim, tile.data(), bank_rows);
      for (int64_t r = 0; r < std::min(query_rows, count - i); ++r)
        nearest[i + r].offer(tile.data() + r * bank_rows, columns, static_cast<int32_t>(j));
    }
  }
  std::vector<double> weight(k.classes);
  int32_t* predictions = k.predictions.as<int32_t>();
  for (int64_t i = 0; i < count; ++i) {
    nearest[i].finish();
    predictions[begin + i] = vote(nearest[i], k, weight);
  }
}

}  // namespace

void run(const Knn& k, Stream) {
  dispatch_float(k.queries.dtype, [&](auto tag) {
    parallel_ranges(k.query_count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += query_group) classify<decltype(tag)>(k, i, std::min(end, i + query_group));
    });
  });
}

}  // namespace gestalt::kernels::cpu
