// The mean and deviation of a ring of norms.
#include "engine/nn/outliers.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

namespace gestalt {

Outliers::Outliers(double limit) : limit_(limit), state_(Tensor::zeros({window + 2}, DType::f64)) {}

bool Outliers::usual(double norm) {
  if (!std::isfinite(norm)) return true;
  const std::span norms(state_.data<double>(), static_cast<size_t>(window));
  double &seen = norms.data()[window], &found = norms.data()[window + 1];
  double most = norm;
  if (seen >= window) {
    const double mean = std::accumulate(norms.begin(), norms.end(), 0.0) / window;
    double squares = 0;
    for (const double x : norms) squares += (x - mean) * (x - mean);
    most = mean + limit_ * std::sqrt(squares / window);
  }
  norms[static_cast<size_t>(static_cast<int64_t>(seen) % window)] = std::min(norm, most);
  seen += 1;
  if (norm <= most) return true;
  found += 1;
  return false;
}

int64_t Outliers::found() const { return static_cast<int64_t>(state_.data<double>()[window + 1]); }

}  // namespace gestalt
