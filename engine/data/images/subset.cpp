// Subsets of image sets, and which images a few-label protocol keeps.
#include "engine/data/images/subset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/philox.h"

namespace gestalt {
namespace {

class SubsetOfImages : public ImageSet {
 public:
  SubsetOfImages(std::shared_ptr<ImageSet> set, std::vector<int32_t> indices)
      : set_(std::move(set)), indices_(std::move(indices)) {
    name_ = set_->name();
    size_ = indices_.size();
    class_names_ = set_->class_names();
    for (int32_t i : indices_) {
      check(i >= 0 && i < set_->size(), "[data] got image {} of {}, expected 0 to {}", i, name_, set_->size() - 1);
      if (!set_->labels().empty()) labels_.push_back(set_->labels()[static_cast<size_t>(i)]);
      if (set_->resident()) frames_.push_back(set_->frames()[static_cast<size_t>(i)]);
    }
  }

  std::string describe() const override { return fmt::format("{} images of {}", size_, set_->describe()); }
  bool resident() const override { return set_->resident(); }
  Tensor pixels() const override { return set_->pixels(); }
  const std::vector<kernels::Frame>& frames() const override { return frames_; }
  std::string image_name(int64_t index) const override {
    return set_->image_name(indices_[static_cast<size_t>(index)]);
  }
  std::string image_path(int64_t index) const override {
    return set_->image_path(indices_[static_cast<size_t>(index)]);
  }
  ImageSize stored_size(int64_t index) const override {
    return set_->stored_size(indices_[static_cast<size_t>(index)]);
  }
  Image decode(int64_t index) const override { return set_->decode(indices_[static_cast<size_t>(index)]); }

 private:
  std::shared_ptr<ImageSet> set_;
  std::vector<int32_t> indices_;
  std::vector<kernels::Frame> frames_;
};

}  // namespace

std::shared_ptr<ImageSet> subset(std::shared_ptr<ImageSet> set, std::vector<int32_t> indices) {
  return std::make_shared<SubsetOfImages>(std::move(set), std::move(indices));
}

std::vector<int32_t> few_labels(const std::vector<int32_t>& labels, double fraction) {
  check(!labels.empty() && fraction > 0 && fraction <= 1,
        "[few_labels] got {} labels and a fraction of {}, expected some and a fraction in (0, 1]", labels.size(),
        fraction);
  std::map<int32_t, std::vector<uint64_t>> classes;  // of each class, noise and index
  for (size_t i = 0; i < labels.size(); ++i)
    classes[labels[i]].push_back(uint64_t{draw(0, Use::few_labels, 0, static_cast<uint32_t>(i), 0).word[0]} << 32 | i);
  std::vector<int32_t> kept;
  for (auto& [label, images] : classes) {
    std::sort(images.begin(), images.end());
    const auto share = std::llround(fraction * static_cast<double>(images.size()));
    const auto count = static_cast<size_t>(std::max<long long>(1, share));
    for (size_t i = 0; i < count; ++i) kept.push_back(static_cast<int32_t>(images[i] & 0xffffffffu));
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

}  // namespace gestalt
