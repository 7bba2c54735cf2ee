// ImageTask: opening data, drawing views, and the kNN probe.
#include "tasks/training/image_task.h"

#include <fmt/format.h>

#include "engine/data/images/loader.h"
#include "engine/tensor/upload.h"
#include "models/export.h"

namespace gestalt {
namespace {

// Batches of a loader, turned into views on the device by the augment kernel.
class ViewFeed : public Feed {
 public:
  ViewFeed(std::shared_ptr<ImageSet> set, LoaderOptions options, std::vector<kernels::AugmentParameters> views,
           int64_t size, Device device, DType dtype)
      : set_(std::move(set)),
        loader_(set_, options),
        options_(options),
        views_(std::move(views)),
        size_(size),
        device_(device),
        dtype_(dtype) {}

  Inputs at(int64_t step, PhaseClock& clock) override {
    clock.enter(static_cast<size_t>(Phase::data));
    if (step != next_) loader_.seek(step);
    next_ = step + 1;
    const ImageBatch batch = loader_.next();
    const Tensor pixels = on_device(batch.pixels);
    clock.enter(static_cast<size_t>(Phase::augment));
    return {{gestalt::augment(pixels, batch.frames, batch.samples, views_, size_, options_.seed,
                              static_cast<uint64_t>(step), dtype_)}};
  }
  int64_t steps_per_epoch() const override { return loader_.steps_per_epoch(); }
  int64_t items_per_step() const override { return options_.batch; }
  std::string describe() const override { return set_->describe(); }
  std::string problems() const override { return set_->damage().any() ? set_->damage().text() : ""; }

 private:
  // A resident set is uploaded once, a streamed batch each time.
  Tensor on_device(const Tensor& pixels) {
    if (pixels.device() == device_) return pixels;
    if (!set_->resident()) return upload_(pixels);
    if (!uploaded_) uploaded_ = pixels.to(device_);
    return uploaded_;
  }

  std::shared_ptr<ImageSet> set_;
  Loader loader_;
  LoaderOptions options_;
  std::vector<kernels::AugmentParameters> views_;
  int64_t size_, next_ = 0;
  Device device_;
  DType dtype_;
  Tensor uploaded_;
  Upload upload_;
};

// The side of a set whose images are all squares of one size.
int64_t own_size(const ImageSet& set) {
  check(set.resident() && !set.frames().empty(), "[data] {} has images of several sizes; give the views' --size",
        set.name());
  const kernels::Frame first = set.frames()[0];
  for (const kernels::Frame& f : set.frames())
    check(f.height == first.height && f.width == f.height,
          "[data] {} has images of {}x{} and {}x{} pixels; give the views' --size", set.name(), first.height,
          first.width, f.height, f.width);
  return first.height;
}

}  // namespace

void ImageTask::fields(Fields& f) {
  Task::fields(f);
  f.title("Encoder and views");
  f("size", image_size, "side of the views in pixels; 0: the data's own");
  model.fields(f);
  f.title("Augmentation");
  augment.fields(f);
  f.title("Evaluation");
  knn.fields(f);
}

std::unique_ptr<Feed> ImageTask::open() {
  OpenOptions options{.split = "pretrain",
                      .hold_out = true,
                      .decode_size = static_cast<int32_t>(image_size * 8 / 7),
                      .threads = static_cast<int>(run.threads)};
  images_ = open_images(run.data, options);
  if (image_size == 0) image_size = own_size(*images_);
  bank_ = images_;
  if (images_->labels().empty()) {
    options.split = "train";
    bank_ = open_images(run.data, options);
  }
  options.split = "test";
  if (!bank_->labels().empty()) test_ = open_images(run.data, options);
  const LoaderOptions loader{
      .batch = run.batch, .seed = static_cast<uint64_t>(run.seed), .threads = static_cast<int>(run.loader_threads)};
  return std::make_unique<ViewFeed>(images_, loader, views(), image_size, run.resolved_device(), view_dtype());
}

void ImageTask::build(Random& random) {
  if (!encoder_) encoder_ = make_encoder(model, image_size, random);
  build_heads(random);
}

std::vector<kernels::AugmentParameters> ImageTask::views() const {
  return {augment.parameters(), augment.parameters()};
}

std::array<Tensor, 2> ImageTask::two_views(const Inputs& inputs) {
  const Tensor& images = inputs.tensors[0];  // (2B, S, S, 3)
  const int64_t count = images.dim(0) / 2;
  return {images.slice(0, count), images.slice(count, 2 * count)};
}

ViewOptions ImageTask::view_options() const {
  return {.size = image_size,
          .normalisation = augment.normalise,
          .batch = run.batch,
          .device = run.resolved_device(),
          .dtype = run.resolved_dtype()};
}

std::vector<Metric> ImageTask::probe() {
  if (!labelled()) return {};
  const Features train = extract_features(*encoder_, bank_, view_options());
  const Features queries = extract_features(*encoder_, test_, view_options());
  const auto classes = static_cast<int64_t>(bank_->class_names().size());
  return {{"knn", knn_accuracy(train, queries, classes, knn),
           fmt::format("{}; bank {} train images, {} test images", knn.protocol(), bank_->size(), test_->size())}};
}

std::string ImageTask::export_to(const std::string& folder) {
  const std::string path = folder + "/encoder.safetensors";
  save_encoder(
      path, *encoder_,
      {model,
       image_size,
       {{"gestalt.task", name()},
        {"gestalt.training", run.steps > 0 ? fmt::format("{} steps", run.steps) : fmt::format("{} epochs", run.epochs)},
        {"gestalt.normalise", augment.normalise},
        {"gestalt.data", run.data}}});
  return path;
}

void ImageTask::visit(Visitor& v) { v("encoder", *encoder_); }

}  // namespace gestalt
