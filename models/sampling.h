// Choosing the next token from its logits: temperature, top-k, top-p.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/run/fields.h"

namespace gestalt {

struct SamplingOptions {
  double temperature = 1;  // logits are divided by it; 0: always the likeliest token
  int64_t top_k = 0;       // only the k likeliest; 0: all
  double top_p = 1;        // of these, the fewest that together have at least this probability
  int64_t seed = 1;

  void fields(Fields& f);
  void validate() const;  // throws Error for a value out of range
};

// What each token is drawn with. Fan et al. 2018 (top-k) and Holtzman et al. 2020 (top-p, on what top-k leaves).
// Between equal logits the lower id is kept. Throws Error if a logit is NaN or none is finite.
std::vector<double> sampling_probabilities(std::span<const float> logits, const SamplingOptions& options);

// One token id; a pure function of its arguments. `position` counts the draws.
int32_t sample(std::span<const float> logits, const SamplingOptions& options, uint64_t position);

}  // namespace gestalt
