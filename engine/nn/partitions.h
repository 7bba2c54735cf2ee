// How well two partitions of the same items agree: clusters with classes, or with the clusters of an epoch before.
#pragma once

#include <cstdint>
#include <span>

namespace gestalt {

// Each throws Error unless both number the same items, at least one, with numbers from 0 on. The order of the numbers
// means nothing.

// 2 I(a; b) / (H(a) + H(b)), 0 to 1: how much of what either says the other knows. 0 where one side has all items in
// one group, 1 where both have.
double normalized_mutual_information(std::span<const int32_t> a, std::span<const int32_t> b);
// Pairs of items that both keep together or apart, less what chance gives (Hubert & Arabie 1985): 0 for chance, 1 for
// the same partition.
double adjusted_rand_index(std::span<const int32_t> a, std::span<const int32_t> b);
// Percent of items that are right once clusters and classes are matched, one to one, so that most are (Kuhn 1955).
// Clusters beyond the number of classes match nothing.
double matched_accuracy(std::span<const int32_t> clusters, std::span<const int32_t> classes);

}  // namespace gestalt
