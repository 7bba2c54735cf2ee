// Opening each split and putting them one after another.
#include "engine/data/images/all_images.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "engine/data/images/splits.h"
#include "engine/run/checksum.h"

namespace gestalt {
namespace {

using SetPointer = std::shared_ptr<ImageSet>;

class JoinedSet : public ImageSet {
 public:
  JoinedSet(std::vector<SetPointer> sets, double damage_limit) : sets_(std::move(sets)) {
    name_ = sets_[0]->name();
    damage_limit_ = damage_limit;
    for (const SetPointer& set : sets_) {
      size_ += static_cast<size_t>(set->size());
      if (set->class_names().size() > class_names_.size()) class_names_ = set->class_names();
      const DamageReport report = set->damage();
      report_.damaged.insert(report_.damaged.end(), report.damaged.begin(), report.damaged.end());
      report_.not_images.insert(report_.not_images.end(), report.not_images.begin(), report.not_images.end());
      report_.not_image_count += report.not_image_count;
    }
  }

  std::string describe() const override {
    std::string text = sets_[0]->describe();
    for (size_t i = 1; i < sets_.size(); ++i) text.append("\n").append(sets_[i]->describe());
    return text;
  }
  bool resident() const override { return false; }
  uint64_t checksum() const override {
    Checksum sum;
    for (const SetPointer& set : sets_) sum.add(set->checksum());
    return sum.value();
  }
  std::string image_name(int64_t index) const override {
    const ImageSet& set = part_of(index);
    return set.image_name(index);
  }
  Image decode(int64_t index) const override {
    const ImageSet& set = part_of(index);
    return set.decode(index);
  }

 private:
  // The set that holds image `index`, which becomes its number there.
  const ImageSet& part_of(int64_t& index) const {
    size_t i = 0;
    for (; index >= sets_[i]->size(); ++i) index -= sets_[i]->size();
    return *sets_[i];
  }

  std::vector<SetPointer> sets_;
};

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
  all.set = sets.size() == 1 ? sets[0] : std::make_shared<JoinedSet>(std::move(sets), options.damage_limit);
  return all;
}

}  // namespace gestalt
