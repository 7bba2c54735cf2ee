// Encoding a set, batch by batch.
#include "tasks/evaluation/features.h"

#include <algorithm>
#include <cmath>
#include <future>

#include "engine/data/images/augment.h"
#include "engine/data/images/sources.h"
#include "engine/ops/pointwise.h"
#include "engine/tensor/autograd.h"

namespace gestalt {
namespace {

// Images of a set as a view is made from them: a block of pixels and where in it they lie.
struct Raw {
  Tensor pixels;
  std::vector<kernels::Frame> frames;
  std::vector<int32_t> samples;
};

// Images [begin, end) of a resident set, whose pixels are there.
Raw frames_of(const ImageSet& set, int64_t begin, int64_t end) {
  Raw raw;
  raw.frames.assign(set.frames().begin() + begin, set.frames().begin() + end);
  for (int64_t i = begin; i < end; ++i) raw.samples.push_back(static_cast<int32_t>(i));
  return raw;
}

// Images [begin, end), those that can be decoded, one after another.
Raw decode_all(ImageSet& set, int64_t begin, int64_t end, int threads) {
  std::vector<Image> images(static_cast<size_t>(end - begin));
  parallel_for(end - begin, threads, [&](int64_t i) { set.decode_or_note(begin + i, images[i]); });
  Raw raw;
  int64_t bytes = 0;
  for (size_t i = 0; i < images.size(); ++i) {
    if (images[i].pixels.empty()) continue;
    raw.frames.push_back({bytes, images[i].height, images[i].width});
    raw.samples.push_back(static_cast<int32_t>(begin) + static_cast<int32_t>(i));
    bytes += static_cast<int64_t>(images[i].pixels.size());
  }
  raw.pixels = Tensor::empty({bytes}, DType::u8);
  uint8_t* to = raw.pixels.data<uint8_t>();
  for (const Image& image : images) to = std::copy(image.pixels.begin(), image.pixels.end(), to);
  return raw;
}

// The mean of finite numbers is finite, and no other is.
bool all_finite(const Tensor& rows) {
  const NoGrad off;
  return rows.count() == 0 || std::isfinite(mean(rows).item());
}

}  // namespace

void for_each_view(const std::shared_ptr<ImageSet>& set, const ViewOptions& options, int64_t first,
                   const std::function<bool(const ViewBatch&)>& f) {
  const Normalisation normal = normalisation(options.normalisation);
  const Tensor resident = set->resident() ? set->pixels().to(options.device) : Tensor();
  const auto read = [&, set](int64_t begin) {
    const int64_t end = std::min(begin + options.batch, set->size());
    return set->resident() ? frames_of(*set, begin, end) : decode_all(*set, begin, end, options.threads);
  };
  // The next batch is decoded while this one is encoded.
  std::future<Raw> next;
  for (int64_t begin = first; begin < set->size(); begin += options.batch) {
    Raw raw = next.valid() ? next.get() : read(begin);
    const int64_t end = std::min(begin + options.batch, set->size());
    if (!set->resident() && end < set->size()) next = std::async(std::launch::async, read, end);
    ViewBatch batch{{}, std::move(raw.samples), end, resident, std::move(raw.frames)};
    if (!resident) batch.pixels = raw.pixels.to(options.device);
    if (!batch.samples.empty())
      batch.images = evaluation_view(batch.pixels, batch.frames, options.size, normal, options.dtype);
    if (!f(batch)) return;
  }
}

void check_finite_features(const Tensor& rows, const std::string& what) {
  check(all_finite(rows), "[features] got NaN or an infinity among {}", what);
}

ViewOptions view_options(const ImageMethod& method) {
  return {.size = method.image_size,
          .normalisation = method.augment.normalise,
          .batch = method.run.batch,
          .device = method.run.resolved_device(),
          .dtype = method.run.resolved_dtype()};
}

namespace {

// A row of `width` numbers for each image that is not damaged, by f(images).
template <class F>
Features collect(const std::shared_ptr<ImageSet>& set, const ViewOptions& options, int64_t width, F&& f) {
  Features result{Tensor::empty({set->size(), width}, DType::f32, options.device), {}};
  int64_t rows = 0;
  for_each_view(set, options, 0, [&](const ViewBatch& batch) {
    const auto count = static_cast<int64_t>(batch.samples.size());
    if (count == 0) return true;
    result.features.slice(rows, rows + count).copy_from(f(batch.images));
    for (int32_t i : batch.samples)
      if (!set->labels().empty()) result.labels.push_back(set->labels()[static_cast<size_t>(i)]);
    rows += count;
    return true;
  });
  check(rows > 0, "[features] no image of {} can be read", set->name());
  if (rows < set->size()) result.features = result.features.slice(0, rows);
  return result;
}

}  // namespace

Features extract_features(Encoder& encoder, const std::shared_ptr<ImageSet>& set, const ViewOptions& options,
                          const std::string& what) {
  NoGrad no_grad;
  Features result =
      collect(set, options, encoder.features(), [&](const Tensor& images) { return encoder.forward(images, false); });
  check_finite_features(result.features, what);
  return result;
}

Moments moments_of(const Tensor& features) {
  const int64_t rows = features.dim(0), columns = features.dim(1);
  const Tensor host = features.to(Device::cpu);
  const float* x = host.data<float>();
  Moments m{std::vector<double>(columns, 0), std::vector<double>(columns, 0)};
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) m.mean[j] += x[i * columns + j];
  for (double& mean : m.mean) mean /= static_cast<double>(rows);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) m.variance[j] += std::pow(x[i * columns + j] - m.mean[j], 2);
  for (double& v : m.variance) v /= static_cast<double>(rows);
  return m;
}

std::vector<int32_t> largest_columns(const Tensor& rows) {
  check(all_finite(rows), "[evaluate] got NaN or an infinity among a classifier's logits; try a smaller --lr");
  const int64_t columns = rows.dim(1);
  const std::vector<float> values = rows.values();
  std::vector<int32_t> largest(static_cast<size_t>(rows.dim(0)));
  for (size_t i = 0; i < largest.size(); ++i) {
    const float* row = values.data() + static_cast<int64_t>(i) * columns;
    largest[i] = static_cast<int32_t>(std::max_element(row, row + columns) - row);
  }
  return largest;
}

double percent_right(const std::vector<int32_t>& predicted, const std::vector<int32_t>& labels) {
  int64_t right = 0;
  for (size_t i = 0; i < labels.size(); ++i) right += predicted[i] == labels[i];
  return 100.0 * static_cast<double>(right) / static_cast<double>(labels.size());
}

Features raw_pixels(const std::shared_ptr<ImageSet>& set, const ViewOptions& options) {
  ViewOptions plain = options;
  plain.device = Device::cpu;
  plain.dtype = DType::f32;
  // Of pixels from 0 to 1 the cosine says mostly that both images are bright: on CIFAR-10's, kNN loses 8 to 14 points.
  plain.normalisation = "imagenet";
  return collect(set, plain, plain.size * plain.size * 3, [](const Tensor& images) { return images.flatten(); });
}

}  // namespace gestalt
