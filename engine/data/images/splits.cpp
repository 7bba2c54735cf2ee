// Opening the splits of one set.
#include "engine/data/images/splits.h"

namespace gestalt {
namespace {

// Why accuracy on `test`, null where there is none, would say nothing; or empty.
std::string objection(const ImageSet& train, const ImageSet* test) {
  if (train.labels().empty()) return fmt::format("{} has no labels", train.name());
  if (train.class_names().size() < 2)
    return fmt::format("{} has one class only, '{}'", train.name(), train.class_names()[0]);
  if (!test) return fmt::format("no class of {} has two images, of which one could be held out", train.name());
  return test->labels().empty() ? fmt::format("the test split of {} is unlabelled", train.name()) : "";
}

}  // namespace

OpenOptions centre_views(int64_t size) { return {.decode_size = static_cast<int32_t>(size), .decode_crop = true}; }

const std::shared_ptr<ImageSet>& ImageSplits::bank() const {
  if (!bank_) bank_ = open_bank ? open_bank() : train;
  return bank_;
}

std::shared_ptr<ImageSet> open_test(const std::string& spec, OpenOptions options) {
  options.split = "test";
  try {
    return open_images(spec, options);
  } catch (const EmptySplit&) { return nullptr; }
}

void check_measurable(const ImageSet& train, const ImageSet* test) {
  const std::string text = objection(train, test);
  check(text.empty(),
        "[evaluate] {}; accuracy needs two labelled classes and test images of them, 'gestalt look' and 'gestalt "
        "cluster' need none",
        text);
}

ImageSplits open_splits(const std::string& spec, int64_t size, OpenOptions options) {
  options.split = "pretrain", options.hold_out = true, options.decode_size = decode_size(size);
  ImageSplits splits;
  splits.pretrain = splits.train = open_images(spec, options);
  if (splits.pretrain->labels().empty() && !options.unlabelled) {
    options.split = "train";
    splits.train = open_images(spec, options);
  }
  OpenOptions measured = options;
  if (size > 0) measured.decode_size = centre_views(size).decode_size, measured.decode_crop = true;
  if (splits.train->class_names().size() >= 2) splits.test = open_test(spec, measured);
  measured.split = "train";
  if (size > 0 && names_image_files(spec)) splits.open_bank = [=] { return open_images(spec, measured); };
  splits.unmeasured = objection(*splits.train, splits.test.get());
  if (!splits.unmeasured.empty()) splits.test = nullptr;
  return splits;
}

int64_t own_size(const ImageSet& set) {
  check(set.resident() && !set.frames().empty(),
        "[data] {} has images of several sizes; give the views' --size, or let --choose choose it", set.name());
  const kernels::Frame first = set.frames()[0];
  for (const kernels::Frame& f : set.frames())
    check(f.height == first.height && f.width == f.height,
          "[data] {} has an image of {} x {} pixels{}; give the views' --size, or let --choose choose it", set.name(),
          f.width, f.height,
          f.width == f.height ? fmt::format(" and one of {} x {}", first.width, first.height) : ", which is no square");
  return first.height;
}

}  // namespace gestalt
