// Opening each split and putting them one after another.
#include "engine/data/images/all_images.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "engine/data/images/joined.h"
#include "engine/data/images/splits.h"

namespace gestalt {
namespace {

// Each split whose images are not in one before it.
std::vector<std::pair<std::string, SetPointer>> different_splits(const std::string& spec, OpenOptions options) {
  std::vector<std::pair<std::string, SetPointer>> found;
  for (const char* split : {"train", "pretrain"}) {
    options.split = split;
    const SetPointer set = open_images(spec, options);
    if (found.empty() || set->image_name(0) != found[0].second->image_name(0)) found.push_back({split, set});
  }
  return found;
}

void append(AllImages& all, const ImageSet& set, const std::string& split) {
  all.splits.insert(all.splits.end(), static_cast<size_t>(set.size()), split);
  all.labels.insert(all.labels.end(), set.labels().begin(), set.labels().end());
  all.labels.resize(all.splits.size(), -1);
}

}  // namespace

const std::string& AllImages::label_name(int64_t index) const {
  static const std::string none;
  const int32_t label = labels[static_cast<size_t>(index)];
  return label < 0 ? none : set->class_names()[static_cast<size_t>(label)];
}

AllImages open_all_images(const std::string& spec, const std::string& split, OpenOptions options) {
  AllImages all;
  options.hold_out = split != "all";
  options.split = split;
  if (split != "all") {
    all.set = open_images(spec, options);
    append(all, *all.set, split);
    return all;
  }
  std::vector<std::pair<std::string, SetPointer>> splits = different_splits(spec, options);
  if (const SetPointer test = open_test(spec, options)) {
    const ImageSet& train = *splits[0].second;
    std::unordered_set<std::string> held_out;
    for (int64_t i = 0; i < test->size(); ++i) held_out.insert(test->image_name(i));
    append(all, train, "train");
    bool own_split = true;
    for (int64_t i = 0; i < train.size(); ++i)
      if (held_out.contains(train.image_name(i))) {
        own_split = false;
        if (!train.labels().empty()) all.splits[static_cast<size_t>(i)] = "test";
      }
    if (own_split) splits.insert(splits.begin() + 1, {"test", test}), append(all, *test, "test");
  } else {
    append(all, *splits[0].second, "train");
  }
  if (splits.back().first == "pretrain") append(all, *splits.back().second, "pretrain");
  std::vector<SetPointer> sets;
  for (const auto& [name, set] : splits) sets.push_back(set);
  all.set = sets.size() == 1 ? sets[0] : one_after_another(std::move(sets), options.damage_limit);
  return all;
}

}  // namespace gestalt
