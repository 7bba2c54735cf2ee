// The fields of second and of small views, and what they are drawn by.
#include "engine/data/images/views.h"

namespace gestalt {

void SecondViewOptions::fields(Fields& f) {
  f("blur-second", blur, "probability of a blur in the second view; 'blur' is the first's", between(0, 1));
  f("solarize-second", solarize, "probability of solarizing the second view; 'solarize' is the first's", between(0, 1));
}

AugmentOptions SecondViewOptions::of(AugmentOptions first) const {
  first.blur = blur;
  first.solarize = solarize;
  return first;
}

void LocalViewOptions::fields(Fields& f) {
  f("local-views", count, "small views besides the two large ones", between(0, 64));
  f("local-size", size, "side of the small views in pixels; 0: half that of the large ones", between(0, 16384));
  f("local-crop-min", crop_min, "smallest crop of a small view, as a share of the image's area", above_up_to(0, 1));
  f("local-crop-max", crop_max, "largest crop of a small view", above_up_to(0, 1));
  f("local-blur", blur, "probability of a blur in a small view", between(0, 1));
}

void LocalViewOptions::add_to(std::vector<ViewGroup>& groups, AugmentOptions first, int64_t large_size) const {
  check(count >= 0 && size >= 0, "[views] got --local-views {} and --local-size {}, expected 0 or more", count, size);
  if (count == 0) return;
  first.blur = blur;
  first.crop_min = crop_min;
  first.crop_max = crop_max;
  groups.push_back({{static_cast<size_t>(count), first.parameters()}, size > 0 ? size : large_size / 2});
}

}  // namespace gestalt
