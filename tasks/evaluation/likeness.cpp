// Correlation over windows.
#include "tasks/evaluation/likeness.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace gestalt {
namespace {

constexpr int side = static_cast<int>(thumbnail_side), grid = 16;
constexpr double noise = 4;  // levels²: what is left of a picture without contrast
constexpr double scales[] = {1, 0.95, 0.9, 0.875, 0.85, 0.8};

// How much of each source pixel lies in each of `grid` cells of the window [begin, begin + length) of an axis.
using Axis = std::array<std::array<float, side>, grid>;
Axis axis_weights(double begin, double length) {
  Axis weights{};
  for (int cell = 0; cell < grid; ++cell) {
    const double from = (begin + length * cell / grid) * side, to = (begin + length * (cell + 1) / grid) * side;
    for (int pixel = 0; pixel < side; ++pixel)
      weights[cell][pixel] =
          static_cast<float>(std::max(0.0, std::min(to, pixel + 1.0) - std::max(from, pixel * 1.0)) / (to - from));
  }
  return weights;
}

struct Window {
  int x, y;  // numbers of axes
};
struct Windows {
  std::vector<Axis> axes;
  std::vector<Window> all;  // the first is the whole image

  Windows() {
    for (double scale : scales) {
      const int first = static_cast<int>(axes.size()), places = scale < 1 ? 3 : 1;
      for (int i = 0; i < places; ++i) axes.push_back(axis_weights((1 - scale) * i / 2, scale));
      for (int y = 0; y < places; ++y)
        for (int x = 0; x < places; ++x) all.push_back({first + x, first + y});
    }
  }
};
const Windows& windows() {
  static const Windows made;
  return made;
}

// The colours of a window, each channel less its mean.
struct Grid {
  std::array<float, grid * grid * 3> values;
  std::array<double, 3> mean{};
  double variance = 0;
};

// Squeezed along x by `axis`: (side, grid, 3).
using Squeezed = std::array<float, side * grid * 3>;
Squeezed squeeze(const uint8_t* image, const Axis& axis) {
  Squeezed to{};
  for (int x = 0; x < grid; ++x)
    for (int from = 0; from < side; ++from) {
      const float weight = axis[x][from];
      if (weight == 0) continue;
      for (int y = 0; y < side; ++y)
        for (int c = 0; c < 3; ++c)
          to[(y * grid + x) * 3 + c] += weight * static_cast<float>(image[(y * side + from) * 3 + c]);
    }
  return to;
}

Grid grid_of(const Squeezed& squeezed, const Axis& axis) {
  Grid g{};
  for (int y = 0; y < grid; ++y)
    for (int from = 0; from < side; ++from) {
      const float weight = axis[y][from];
      if (weight == 0) continue;
      for (int i = 0; i < grid * 3; ++i) g.values[y * grid * 3 + i] += weight * squeezed[from * grid * 3 + i];
    }
  for (size_t i = 0; i < g.values.size(); ++i) g.mean[i % 3] += g.values[i] / (grid * grid);
  for (size_t i = 0; i < g.values.size(); ++i) {
    g.values[i] -= static_cast<float>(g.mean[i % 3]);
    g.variance += static_cast<double>(g.values[i]) * g.values[i] / static_cast<double>(g.values.size());
  }
  return g;
}

double agreement_of(const Grid& a, const Grid& b) {
  const double allowed = std::min(64.0, 8 + 2 * std::sqrt(std::min(a.variance, b.variance)));
  for (int c = 0; c < 3; ++c)
    if (std::abs(a.mean[c] - b.mean[c]) > allowed) return 0;
  double product = 0;
  for (size_t i = 0; i < a.values.size(); ++i) product += static_cast<double>(a.values[i]) * b.values[i];
  product /= static_cast<double>(a.values.size());
  return (product + noise) / std::sqrt((a.variance + noise) * (b.variance + noise));
}

// The best of `whole` against the windows of `image`.
double best_window(const Grid& whole, const uint8_t* image) {
  const Windows& w = windows();
  double best = -1;
  Squeezed squeezed{};
  for (size_t x = 0; x < w.axes.size(); ++x) {
    bool ready = false;
    for (const Window& window : w.all) {
      if (window.x != static_cast<int>(x)) continue;
      if (!ready) squeezed = squeeze(image, w.axes[x]), ready = true;
      best = std::max(best, agreement_of(whole, grid_of(squeezed, w.axes[window.y])));
    }
  }
  return best;
}

}  // namespace

double agreement(const uint8_t* a, const uint8_t* b) {
  const Axis& full = windows().axes[0];
  const Grid whole_a = grid_of(squeeze(a, full), full), whole_b = grid_of(squeeze(b, full), full);
  const double direct = agreement_of(whole_a, whole_b);
  if (direct > 0.99) return direct;
  return std::max({direct, best_window(whole_a, b), best_window(whole_b, a)});
}

}  // namespace gestalt
