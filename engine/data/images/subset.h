// Some images of a set: the few labels of semi-supervised protocols.
#pragma once

#include <memory>
#include <vector>

#include "engine/data/images/image_set.h"

namespace gestalt {

// Images `indices` of `set`, in that order, with their labels. Throws Error for an index outside the set.
std::shared_ptr<ImageSet> subset(std::shared_ptr<ImageSet> set, std::vector<int32_t> indices);

// The indices, ascending, of `fraction` of each class (rounded, at least one image): those with the lowest Philox noise
// under key 0, so that everyone who evaluates this set with this fraction uses the same images, and a smaller fraction
// uses some of a larger one's. Throws Error unless labels are given and fraction is in (0, 1].
std::vector<int32_t> few_labels(const std::vector<int32_t>& labels, double fraction);

}  // namespace gestalt
