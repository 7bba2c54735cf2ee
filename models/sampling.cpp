// Sampling from logits.
#include "models/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/check.h"
#include "kernels/philox.h"

namespace gestalt {

void SamplingOptions::fields(Fields& f) {
  f("temperature", temperature, "under 1: likelier tokens more often; 0: always the likeliest", at_least(0));
  f("top-k", top_k, "draw from the k likeliest tokens; 0: from all", at_least(0));
  f("top-p", top_p, "draw from the likeliest tokens that together have this probability", above_up_to(0, 1));
  f("seed", seed, "the same seed, prompt and model give the same text", any_number());
}

void SamplingOptions::validate() const {
  check(temperature >= 0 && std::isfinite(temperature), "[sampling] got --temperature {}, expected 0 or more",
        temperature);
  check(top_k >= 0, "[sampling] got --top-k {}, expected 0 or more", top_k);
  check(top_p > 0 && top_p <= 1, "[sampling] got --top-p {}, expected more than 0 and at most 1", top_p);
}

std::vector<double> sampling_probabilities(std::span<const float> logits, const SamplingOptions& options) {
  options.validate();
  for (float v : logits) check(!std::isnan(v), "[sampling] got a NaN among the logits; is the model trained well?");
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  check(!order.empty() && std::isfinite(logits[order[0]]), "[sampling] got {} logits, none of them finite and largest",
        logits.size());
  std::vector<double> p(logits.size(), 0.0);
  if (options.temperature == 0) {
    p[order[0]] = 1;
    return p;
  }
  const auto k = static_cast<size_t>(options.top_k);
  if (k > 0 && k < order.size()) order.resize(k);
  double sum = 0;
  for (size_t i : order) sum += p[i] = std::exp((logits[i] - logits[order[0]]) / options.temperature);
  double kept = 0;
  for (size_t i : order) {
    const bool enough = kept >= options.top_p * sum;
    if (enough && options.top_p < 1) p[i] = 0;
    kept += p[i];
  }
  for (double& v : p) v /= kept;
  return p;
}

int32_t sample(std::span<const float> logits, const SamplingOptions& options, uint64_t position) {
  const std::vector<double> p = sampling_probabilities(logits, options);
  const Philox4 r = draw(static_cast<uint64_t>(options.seed), Use::token, position, 0, 0);
  const double u = (static_cast<double>(r.word[0]) + static_cast<double>(r.word[1]) * 0x1p-32) * 0x1p-32;  // in [0, 1)
  double below = 0;
  size_t last = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) continue;
    last = i;
    below += p[i];
    if (u < below) break;
  }
  return static_cast<int32_t>(last);
}

}  // namespace gestalt
