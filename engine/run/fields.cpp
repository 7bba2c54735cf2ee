// Names of hyper-parameters: finding the one that was meant.
#include "engine/run/fields.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "kernels/check.h"

namespace gestalt {
namespace {

// Edits from a to b, where swapping two neighbours counts as one (optimal string alignment distance).
size_t edit_distance(const std::string& a, const std::string& b) {
  const size_t width = b.size() + 1;
  std::vector<size_t> d((a.size() + 1) * width);
  const auto at = [&](size_t i, size_t j) -> size_t& { return d[i * width + j]; };
  for (size_t i = 0; i <= a.size(); ++i) at(i, 0) = i;
  for (size_t j = 0; j <= b.size(); ++j) at(0, j) = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
    }
  }
  return at(a.size(), b.size());
}

}  // namespace

bool Bounds::hold(double value) const {
  if (!std::isfinite(value)) return false;
  if (besides && value == *besides) return true;
  return (with_low ? value >= low : value > low) && (with_high ? value <= high : value < high);
}

std::string Bounds::text() const {
  const bool lowest = std::isinf(low), highest = std::isinf(high);
  std::string text = "a finite number";
  if (!lowest && !highest && with_low && with_high)
    text = fmt::format("from {} to {}", low, high);
  else if (!lowest && !highest)
    text = fmt::format("{} and {} {}", with_low ? fmt::format("{} or more", low) : fmt::format("above {}", low),
                       with_high ? "up to" : "under", high);
  else if (!lowest)
    text = with_low ? fmt::format("{} or more", low) : fmt::format("above {}", low);
  return besides ? fmt::format("{}, or {}", text, *besides) : text;
}

void FieldChecker::operator()(const char* name, int64_t& value, const char*, const Bounds& bounds) {
  check(bounds.hold(static_cast<double>(value)), "[config] got --{} {}, expected {}", name, value, bounds.text());
}
void FieldChecker::operator()(const char* name, double& value, const char*, const Bounds& bounds) {
  check(bounds.hold(value), "[config] got --{} {}, expected {}", name, value, bounds.text());
}
void FieldChecker::operator()(const char* name, std::string& value, const char*,
                              const std::vector<std::string>& choices) {
  check_choice(name, value, choices);
}

std::string nearest(const std::string& name, const std::vector<std::string>& candidates) {
  constexpr size_t longest = 100;  // a longer name is no misspelling, and the table grows with its square
  if (name.empty() || name.size() > longest) return "";
  std::string best;
  size_t best_distance = SIZE_MAX;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > longest) continue;
    const size_t distance = edit_distance(name, candidate);
    const size_t limit = std::max<size_t>(1, std::max(name.size(), candidate.size()) / 3);
    if (distance > limit || distance >= best_distance || distance >= candidate.size()) continue;
    best = candidate;
    best_distance = distance;
  }
  if (!best.empty()) return best;
  const auto longer = std::find_if(candidates.begin(), candidates.end(),
                                   [&](const std::string& candidate) { return candidate.starts_with(name); });
  if (longer != candidates.end()) return *longer;
  const auto shorter = std::find_if(candidates.begin(), candidates.end(), [&](const std::string& candidate) {
    return candidate.size() >= 5 && name.starts_with(candidate);
  });
  return shorter == candidates.end() ? "" : *shorter;
}

std::string suggestion(const std::string& name, const std::vector<std::string>& candidates) {
  const std::string near = nearest(name, candidates);
  if (!near.empty()) return fmt::format("; did you mean '{}'?", near);
  return fmt::format("; expected one of {}", fmt::join(candidates, ", "));
}

void check_choice(const std::string& name, const std::string& value, const std::vector<std::string>& choices) {
  if (choices.empty() || std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  const std::string near = nearest(value, choices);
  fail("[config] got {} '{}', expected one of {}{}", name, value, fmt::join(choices, ", "),
       near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

}  // namespace gestalt
