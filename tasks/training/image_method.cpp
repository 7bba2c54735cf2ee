// ImageMethod: opening data, building the encoder, exporting it.
#include "tasks/training/image_method.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "engine/data/images/subset.h"
#include "engine/data/images/view_feed.h"
#include "engine/run/checksum.h"
#include "engine/run/files.h"
#include "models/import.h"

namespace gestalt {

void ImageMethod::modality_fields(Fields& f) {
  f.title("Encoder and views");
  f("size", image_size, "side of the views in pixels; 0: the data's own", between(0, 16384));
  model.fields(f);
  f("unlabelled", unlabelled, "look at no label of the data: folders are just folders, and nothing is held out");
  f("damage-limit", damage_limit, "share of images that may be unreadable, which are left out, before a run refuses",
    between(0, 1));
  f("init", init,
    "begin with the weights of this encoder: a run, or a file or folder of torchvision, timm, transformers");
  f.title("Augmentation");
  augment.fields(f);
}

std::unique_ptr<Feed> ImageMethod::open() {
  if (!make_) check_model(model);  // before data are read
  images_ =
      open_splits(run.data, image_size,
                  {.unlabelled = unlabelled, .threads = static_cast<int>(run.threads), .damage_limit = damage_limit});
  if (image_size == 0) image_size = own_size(*images_.pretrain);
  const LoaderOptions loader{
      .batch = run.batch, .seed = static_cast<uint64_t>(run.seed), .threads = static_cast<int>(run.loader_threads)};
  return std::make_unique<ViewFeed>(images_.pretrain, loader, wants(), run.resolved_device());
}

DataIdentity ImageMethod::held_out_identity() const {
  if (!images_.labelled()) return {};
  Checksum labels;
  for (int32_t label : images_.test->labels()) labels.add(static_cast<uint64_t>(label));
  return {{"held-out images", std::to_string(images_.test->size())},
          {"checksum of the held-out labels", labels.text()},
          {"checksum of the held-out images", fmt::format("{:016x}", images_.test->checksum())}};
}

void ImageMethod::use_encoder(MakeEncoder make) {
  make_ = std::move(make);
  model.model = "custom";
}

std::unique_ptr<Encoder> ImageMethod::new_encoder(Random& random) const {
  return make_ ? make_(random) : make_encoder(model, image_size, random);
}

void ImageMethod::build(Random& random) {
  encoder_ = new_encoder(random);
  if (beginning && !init.empty())  // before a teacher is made of it
    for (const std::string& line : fill_encoder(expand_home(init), *encoder_, model, image_size))
      beginning->push_back(line);
  build_heads(random);
}

std::vector<ViewGroup> ImageMethod::views() const {
  return {{{augment.parameters(), augment.parameters()}, image_size}};
}

void ImageMethod::for_each_batch(std::optional<uint64_t> drawn_at,
                                 const std::function<void(const Tensor&, const Tensor&)>& f) const {
  const int64_t count = learned_images(), batches = (count + run.batch - 1) / run.batch;
  std::vector<int32_t> order(static_cast<size_t>(batches * run.batch));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(static_cast<int64_t>(i) % count);
  Loader loader(subset(images_.pretrain, order),
                {.batch = run.batch, .threads = static_cast<int>(run.loader_threads), .shuffle = false});
  const Device device = run.resolved_device();
  const Tensor resident = images_.pretrain->resident() ? images_.pretrain->pixels().to(device) : Tensor();
  const ViewGroup group = views().at(0);
  for (int64_t b = 0; b < batches; ++b) {
    ImageBatch batch = loader.next();
    for (int32_t& sample : batch.samples) sample = order[static_cast<size_t>(sample)];
    const Tensor pixels = resident ? resident : batch.pixels.to(device);
    const Tensor views =
        drawn_at ? gestalt::augment(pixels, batch.frames, batch.samples, group.views, group.size,
                                    static_cast<uint64_t>(run.seed), *drawn_at, view_dtype())
                 : evaluation_view(pixels, batch.frames, image_size, normalisation(augment.normalise), view_dtype());
    f(views, Tensor::from(batch.samples, {run.batch}).to(device));
  }
}

std::optional<Picture> ImageMethod::held_out_picture() {
  const std::shared_ptr<ImageSet>& set = images_.labelled() ? images_.test : images_.pretrain;
  Loader loader(set, {.batch = std::min<int64_t>(8, set->size()), .drop_last = false, .shuffle = false});
  const ImageBatch batch = loader.next();
  return picture(evaluation_view(batch.pixels.to(run.resolved_device()), batch.frames, image_size,
                                 normalisation(augment.normalise)),
                 0);
}

std::optional<Picture> ImageMethod::views_picture(int64_t step) {
  const int64_t count = std::min<int64_t>(8, images_.pretrain->size());
  Loader loader(images_.pretrain, {.batch = count, .drop_last = false, .shuffle = false});
  return draw_views(*this, loader.next(), static_cast<uint64_t>(step));
}

std::string ImageMethod::export_to(const std::string& folder) {
  const std::string path = folder + "/encoder.safetensors";
  save_encoder(path, encoder(), exported_info());
  return path;
}

EncoderInfo ImageMethod::exported_info() const {
  return {
      model,
      image_size,
      {{"gestalt.task", name()},
       {"gestalt.training", run.steps > 0 ? fmt::format("{} steps", run.steps) : fmt::format("{} epochs", run.epochs)},
       {"gestalt.normalise", augment.normalise},
       {"gestalt.data", run.data}}};
}

Tensor first_samples(int64_t count, Device device) {
  std::vector<int32_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return Tensor::from(numbers, {count}).to(device);
}

std::vector<Tensor> split_views(const Tensor& group, int64_t count) {
  check(count >= 1 && group.dim(0) % count == 0, "[views] got {} images for {} views", group.dim(0), count);
  const int64_t batch = group.dim(0) / count;
  std::vector<Tensor> views;
  for (int64_t v = 0; v < count; ++v) views.push_back(group.slice(v * batch, (v + 1) * batch));
  return views;
}

Picture draw_views(const ImageMethod& method, const ImageBatch& images, uint64_t step) {
  const ViewGroup group = method.wants().groups.at(0);
  const auto count = static_cast<int64_t>(images.frames.size()), views = static_cast<int64_t>(group.views.size());
  const Tensor drawn = augment(images.pixels.to(Device::cpu), images.frames, images.samples, group.views, group.size,
                               static_cast<uint64_t>(method.run.seed), step);
  Tensor rows = Tensor::empty(drawn.shape());  // an image's views side by side
  for (int64_t v = 0; v < views; ++v)
    for (int64_t i = 0; i < count; ++i)
      rows.slice(i * views + v, i * views + v + 1).copy_from(drawn.slice(v * count + i, v * count + i + 1));
  Picture sheet = draw_sheet(rows, views, normalisation(method.augment.normalise));
  sheet.caption = fmt::format("what the encoder is shown: a row an image, {} views each", views);
  return sheet;
}

}  // namespace gestalt
