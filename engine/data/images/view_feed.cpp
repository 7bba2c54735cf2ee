// Loading, uploading and augmenting a batch.
#include "engine/data/images/view_feed.h"

#include "engine/data/images/augment.h"

namespace gestalt {

ViewFeed::ViewFeed(std::shared_ptr<ImageSet> set, const LoaderOptions& options, Wants wants, Device device,
                   std::string note)
    : set_(std::move(set)),
      loader_(set_, options),
      options_(options),
      wants_(std::move(wants)),
      device_(device),
      note_(std::move(note)) {
  check(!wants_.labels || !set_->labels().empty(), "[data] {} has no labels", set_->name());
}

std::string ViewFeed::problems() const {
  const DamageReport damage = set_->damage();
  return !damage.any() ? note_ : note_.empty() ? damage.text() : note_ + "\n" + damage.text();
}

Tensor ViewFeed::on_device(const Tensor& pixels) {
  if (pixels.device() == device_) return pixels;
  if (!set_->resident()) return upload_(pixels);
  if (!resident_) resident_ = pixels.to(device_);
  return resident_;
}

Batch ViewFeed::at(int64_t step, PhaseClock& clock) {
  clock.enter(Phase::data);
  if (step != next_) loader_.seek(step);
  next_ = step + 1;
  const ImageBatch drawn = loader_.next();
  const auto count = static_cast<int64_t>(drawn.samples.size());
  const Tensor pixels = on_device(drawn.pixels);
  Batch batch;
  batch.samples = Tensor::from(drawn.samples, {count}).to(device_);
  if (wants_.labels) batch.labels = Tensor::from(drawn.labels, {count}).to(device_);
  clock.enter(Phase::augment);
  int first_view = 0;
  for (const ViewGroup& group : wants_.groups) {
    batch.views.push_back(augment(pixels, drawn.frames, drawn.samples, group.views, group.size, options_.seed,
                                  static_cast<uint64_t>(step), wants_.view_dtype, first_view));
    first_view += static_cast<int>(group.views.size());
  }
  return batch;
}

}  // namespace gestalt
