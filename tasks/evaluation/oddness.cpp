// Figures of pixels, and robust deviations from the usual.
#include "tasks/evaluation/oddness.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"

namespace gestalt {
namespace {

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Signed; 0 where more than half of all are the same.
std::vector<double> robust_deviations(std::vector<double> values) {
  constexpr double of_normal = 1.4826;  // standard deviations in a median deviation
  const double centre = median(values);
  std::vector<double> apart;
  for (double& v : values) apart.push_back(std::abs(v -= centre));
  const double scale = of_normal * median(apart);
  for (double& v : values) v = scale > 0 ? v / scale : 0;
  return values;
}

}  // namespace

PixelFigures pixel_figures(const float* image, int64_t side) {
  std::vector<double> grey(static_cast<size_t>(side * side));
  double sum = 0, squares = 0, steps = 0;
  for (int64_t i = 0; i < side * side; ++i) sum += grey[i] = (image[3 * i] + image[3 * i + 1] + image[3 * i + 2]) / 3.0;
  const double count = static_cast<double>(side * side), mean = sum / count;
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x) {
      const double here = grey[y * side + x];
      squares += (here - mean) * (here - mean);
      if (x > 0) steps += std::pow(here - grey[y * side + x - 1], 2);
      if (y > 0) steps += std::pow(here - grey[(y - 1) * side + x], 2);
    }
  const double variance = squares / count, step = side > 1 ? steps / (2.0 * static_cast<double>(side * (side - 1))) : 0;
  constexpr double least = 1e-6;  // of a variance: what rounding to bytes leaves is no structure
  return {mean, std::sqrt(variance), variance > least ? step / (2 * variance) : 0};
}

std::vector<Oddness> oddness(const std::vector<double>& distances, const std::vector<PixelFigures>& figures) {
  check(distances.size() == figures.size() && !figures.empty(), "[oddness] got {} distances and {} images",
        distances.size(), figures.size());
  std::vector<Oddness> odd(figures.size());
  const auto look_at = [&](const char* by, bool both_sides, auto&& value_of) {
    std::vector<double> values;
    for (size_t i = 0; i < odd.size(); ++i) values.push_back(value_of(i));
    const std::vector<double> deviations = robust_deviations(std::move(values));
    for (size_t i = 0; i < odd.size(); ++i) {
      const double d = both_sides ? std::abs(deviations[i]) : deviations[i];
      if (!*odd[i].by || d > odd[i].deviations) odd[i] = {d, by};
    }
  };
  look_at("distance", false, [&](size_t i) { return std::log(std::max(0.0, distances[i]) + 1e-4); });
  look_at("roughness", true, [&](size_t i) { return std::log(figures[i].roughness + 1e-3); });
  look_at("contrast", true, [&](size_t i) { return std::log(figures[i].contrast + 1e-3); });
  look_at("brightness", true, [&](size_t i) { return figures[i].brightness; });
  return odd;
}

}  // namespace gestalt
