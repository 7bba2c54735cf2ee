// Agreement of partitions from the counts of their groups' intersections.
#include "engine/nn/partitions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/check.h"

namespace gestalt {
namespace {

using Labels = std::span<const int32_t>;

struct Intersection {
  int64_t a, b, count;  // group of a, group of b, items in both
};

// The intersections that are not empty, and the sizes of the groups.
struct Table {
  std::vector<Intersection> both;
  std::vector<int64_t> a, b;
  int64_t items;

  Table(const char* op, Labels first, Labels second) : items(static_cast<int64_t>(first.size())) {
    check(!first.empty() && first.size() == second.size(), "[{}] got {} and {} labels, expected as many, 1 or more", op,
          first.size(), second.size());
    const int32_t lowest =
        std::min(*std::min_element(first.begin(), first.end()), *std::min_element(second.begin(), second.end()));
    check(lowest >= 0, "[{}] got label {}, expected 0 or more", op, lowest);
    a.assign(*std::max_element(first.begin(), first.end()) + 1, 0);
    b.assign(*std::max_element(second.begin(), second.end()) + 1, 0);
    const auto columns = static_cast<int64_t>(b.size());
    std::vector<int64_t> cells;
    cells.reserve(first.size());
    for (size_t i = 0; i < first.size(); ++i) {
      ++a[first[i]], ++b[second[i]];
      cells.push_back(first[i] * columns + second[i]);
    }
    std::sort(cells.begin(), cells.end());
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i == 0 || cells[i] != cells[i - 1]) both.push_back({cells[i] / columns, cells[i] % columns, 0});
      ++both.back().count;
    }
  }
};

double entropy(const std::vector<int64_t>& sizes, int64_t items) {
  double sum = 0;
  for (int64_t size : sizes) {
    const double p = static_cast<double>(size) / static_cast<double>(items);
    if (size > 0) sum -= p * std::log(p);
  }
  return sum;
}

double pairs(int64_t count) { return 0.5 * static_cast<double>(count) * static_cast<double>(count - 1); }

double pairs_within(const std::vector<int64_t>& sizes) {
  double sum = 0;
  for (int64_t size : sizes) sum += pairs(size);
  return sum;
}

// The largest sum of gains (n × n, row after row) over a choice of one column for each row: the Hungarian method, which
// adds a row at a time along the cheapest alternating path, by reduced costs that duals keep from falling below 0.
int64_t largest_matching(const std::vector<int64_t>& gains, int64_t n) {
  constexpr int64_t none = -1, far = std::numeric_limits<int64_t>::max();
  std::vector<int64_t> row_dual(n, 0), column_dual(n, 0), row_of(n, none);
  for (int64_t row = 0; row < n; ++row) {
    std::vector<int64_t> slack(n, far), reached_from(n, none);
    std::vector<char> in_tree(n, false);
    int64_t at_row = row, column = none;  // where the tree grows
    for (;;) {
      int64_t next = none, step = far;
      for (int64_t c = 0; c < n; ++c) {
        if (in_tree[c]) continue;
        const int64_t cost = -gains[at_row * n + c] - row_dual[at_row] - column_dual[c];
        if (cost < slack[c]) slack[c] = cost, reached_from[c] = column;
        if (slack[c] < step) step = slack[c], next = c;
      }
      row_dual[row] += step;
      for (int64_t c = 0; c < n; ++c) {
        if (in_tree[c])
          row_dual[row_of[c]] += step, column_dual[c] -= step;
        else
          slack[c] -= step;
      }
      column = next;
      in_tree[column] = true;
      if (row_of[column] == none) break;
      at_row = row_of[column];
    }
    for (; column != none; column = reached_from[column])  // exchange along the path
      row_of[column] = reached_from[column] == none ? row : row_of[reached_from[column]];
  }
  int64_t sum = 0;
  for (int64_t c = 0; c < n; ++c) sum += gains[row_of[c] * n + c];
  return sum;
}

}  // namespace

double normalized_mutual_information(Labels a, Labels b) {
  const Table table("normalized_mutual_information", a, b);
  const double entropies = entropy(table.a, table.items) + entropy(table.b, table.items);
  if (entropies <= 0) return 1;
  double information = 0;
  const auto items = static_cast<double>(table.items);
  for (const Intersection& i : table.both) {
    const double expected = static_cast<double>(table.a[i.a]) * static_cast<double>(table.b[i.b]);
    information += static_cast<double>(i.count) / items * std::log(static_cast<double>(i.count) * items / expected);
  }
  return std::clamp(2 * information / entropies, 0.0, 1.0);
}

double adjusted_rand_index(Labels a, Labels b) {
  const Table table("adjusted_rand_index", a, b);
  double together = 0;
  for (const Intersection& i : table.both) together += pairs(i.count);
  const double in_a = pairs_within(table.a), in_b = pairs_within(table.b), all = pairs(table.items);
  if (in_a == together && in_b == together) return 1;
  const double expected = in_a * in_b / all;
  return (together - expected) / (0.5 * (in_a + in_b) - expected);
}

double matched_accuracy(Labels clusters, Labels classes) {
  const Table table("matched_accuracy", clusters, classes);
  const auto n = static_cast<int64_t>(std::max(table.a.size(), table.b.size()));
  std::vector<int64_t> gains(n * n, 0);
  for (const Intersection& i : table.both) gains[i.a * n + i.b] = i.count;
  return 100.0 * static_cast<double>(largest_matching(gains, n)) / static_cast<double>(table.items);
}

}  // namespace gestalt
