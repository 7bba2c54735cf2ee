// Encoding a set, batch by batch.
#include "tasks/evaluation/features.h"

#include <algorithm>
#include <cmath>

#include "engine/data/images/augment.h"
#include "engine/data/images/loader.h"
#include "engine/ops/pointwise.h"
#include "engine/tensor/autograd.h"

namespace gestalt {
namespace {

// Calls f(images, first, count) on the centre views of `set` in order, a batch at a time; returns the labels.
template <class F>
std::vector<int32_t> for_each_view(const std::shared_ptr<ImageSet>& set, const ViewOptions& options, F&& f) {
  const Normalisation normal = normalisation(options.normalisation);
  Loader loader(set, {.batch = options.batch, .drop_last = false, .shuffle = false});
  const Tensor resident = set->resident() ? set->pixels().to(options.device) : Tensor();
  std::vector<int32_t> labels;
  for (int64_t first = 0; first < set->size();) {
    const ImageBatch batch = loader.next();
    const auto count = static_cast<int64_t>(batch.frames.size());
    f(evaluation_view(resident ? resident : batch.pixels.to(options.device), batch.frames, options.size, normal,
                      options.dtype),
      first, count);
    labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
    first += count;
  }
  return labels;
}

// The mean of finite numbers is finite, and no other is.
bool all_finite(const Tensor& rows) {
  const NoGrad off;
  return rows.count() == 0 || std::isfinite(mean(rows).item());
}

}  // namespace

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

Features extract_features(Encoder& encoder, const std::shared_ptr<ImageSet>& set, const ViewOptions& options,
                          const std::string& what) {
  NoGrad no_grad;
  Features result{Tensor::empty({set->size(), encoder.features()}, DType::f32, options.device), {}};
  result.labels = for_each_view(set, options, [&](const Tensor& images, int64_t first, int64_t count) {
    result.features.slice(first, first + count).copy_from(encoder.forward(images, false));
  });
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
  Features result{Tensor::empty({set->size(), options.size * options.size * 3}), {}};
  result.labels = for_each_view(set, plain, [&](const Tensor& images, int64_t first, int64_t count) {
    result.features.slice(first, first + count).copy_from(images.flatten());
  });
  return result;
}

}  // namespace gestalt
