// What the launches of a step add up to, by phase, kernel and shape.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gestalt::bench {

// What the launches of one kernel add up to.
struct Spent {
  double calls = 0, seconds = 0, flops = 0, bytes = 0, floor = 0;

  void add(const Spent& other) {
    calls += other.calls, seconds += other.seconds;
    flops += other.flops, bytes += other.bytes, floor += other.floor;
  }
};

struct Key {
  std::string phase, kernel, shape;
  auto operator<=>(const Key&) const = default;
};
using Ledger = std::map<Key, Spent>;

// The entries with what `name` drops from their keys joined, longest first.
template <class Name>
std::vector<std::pair<Key, Spent>> joined(const Ledger& ledger, Name&& name) {
  Ledger sums;
  for (const auto& [key, spent] : ledger) sums[name(key)].add(spent);
  std::vector<std::pair<Key, Spent>> sorted(sums.begin(), sums.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  return sorted;
}

// A number of a table; nothing for 0.
inline std::string cell(double value, int digits) { return value > 0 ? fmt::format("{:.{}f}", value, digits) : ""; }

}  // namespace gestalt::bench
