// Views that differ from the first: the second of two, and small ones beside large ones.
#pragma once

#include "engine/data/batch.h"
#include "engine/data/images/augment.h"

namespace gestalt {

// The second view of asymmetric pairs (Grill et al. 2020, table 6): the first, but for two probabilities.
struct SecondViewOptions {
  double blur = 0, solarize = 0.2;

  void fields(Fields& f);
  AugmentOptions of(AugmentOptions first) const;
};

// Multi-crop (Caron et al. 2020, section 3.3): small crops, drawn as the first view is but for size, crop and blur.
struct LocalViewOptions {
  int64_t count = 6, size = 0;  // 0: half of the large views' side
  double crop_min = 0.05, crop_max = 0.4, blur = 0.5;

  void fields(Fields& f);
  // Adds the group of small views, if there are any.
  void add_to(std::vector<ViewGroup>& groups, AugmentOptions first, int64_t large_size) const;
};

}  // namespace gestalt
