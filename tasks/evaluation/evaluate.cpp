// Feature extraction, weighted kNN and the linear probe.
#include "tasks/evaluation/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/data/images/augment.h"
#include "engine/data/images/loader.h"
#include "engine/nn/layers.h"
#include "engine/nn/optimizer.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/knn.h"
#include "engine/tensor/autograd.h"

namespace gestalt {
namespace {

// Calls f(images, first, count) on the centre views of `set` in order, a batch at a time; returns the labels.
template <class F>
std::vector<int32_t> for_each_view(const std::shared_ptr<ImageSet>& set, const ViewOptions& options, F&& f) {
  const Normalisation normal = normalisation(options.normalisation);
  Loader loader(set, {.batch = options.batch, .drop_last = false, .shuffle = false});
  std::vector<int32_t> labels;
  for (int64_t first = 0; first < set->size();) {
    const ImageBatch batch = loader.next();
    const auto count = static_cast<int64_t>(batch.frames.size());
    f(evaluation_view(batch.pixels.to(options.device), batch.frames, options.size, normal, options.dtype), first,
      count);
    labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
    first += count;
  }
  return labels;
}

Tensor standardise(const Tensor& features, const Moments& m) {
  const int64_t rows = features.dim(0), columns = features.dim(1);
  std::vector<double> inverse(m.variance);
  for (double& v : inverse) v = 1 / std::sqrt(v + 1e-12);
  const Tensor host = features.to(Device::cpu);
  Tensor out = Tensor::empty(features.shape());
  const float* from = host.data<float>();
  float* to = out.data<float>();
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      to[i * columns + j] = static_cast<float>((from[i * columns + j] - m.mean[j]) * inverse[j]);
  return out;
}

double percent_right(const std::vector<int32_t>& predicted, const std::vector<int32_t>& labels) {
  int64_t right = 0;
  for (size_t i = 0; i < labels.size(); ++i) right += predicted[i] == labels[i];
  return 100.0 * static_cast<double>(right) / static_cast<double>(labels.size());
}

Tensor gather_rows(const Tensor& rows, const std::vector<int32_t>& order, int64_t first, int64_t count) {
  const int64_t columns = rows.dim(1);
  Tensor batch = Tensor::empty({count, columns});
  const float* from = rows.data<float>();
  float* to = batch.data<float>();
  for (int64_t i = 0; i < count; ++i) std::copy_n(from + order[first + i] * columns, columns, to + i * columns);
  return batch;
}

}  // namespace

Features extract_features(Encoder& encoder, const std::shared_ptr<ImageSet>& set, const ViewOptions& options) {
  NoGrad no_grad;
  Features result{Tensor::empty({set->size(), encoder.features()}, DType::f32, options.device), {}};
  result.labels = for_each_view(set, options, [&](const Tensor& images, int64_t first, int64_t count) {
    result.features.slice(first, first + count).copy_from(encoder.forward(images, false));
  });
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

Features raw_pixels(const std::shared_ptr<ImageSet>& set, const ViewOptions& options) {
  ViewOptions plain = options;
  plain.device = Device::cpu;
  plain.dtype = DType::f32;
  Features result{Tensor::empty({set->size(), options.size * options.size * 3}), {}};
  result.labels = for_each_view(set, plain, [&](const Tensor& images, int64_t first, int64_t count) {
    result.features.slice(first, first + count).copy_from(images.flatten());
  });
  return result;
}

void KnnOptions::fields(Fields& f) {
  f("knn-k", k, "neighbours that vote");
  f("knn-temperature", temperature, "votes weigh exp(cosine / temperature)");
}

std::string KnnOptions::protocol() const {
  return fmt::format("weighted kNN, cosine, k = {}, temperature {}, exact, centre view", k, temperature);
}

double knn_accuracy(const Features& train, const Features& test, int64_t classes, const KnnOptions& options) {
  check(!train.labels.empty() && !test.labels.empty(), "[knn] got images without labels; kNN needs them");
  check(options.k >= 1 && options.temperature > 0,
        "[knn] got --knn-k {} and --knn-temperature {}, expected 1 or more and above 0", options.k,
        options.temperature);
  const int64_t k = std::min(options.k, train.features.dim(0));
  const Tensor labels = Tensor::from(train.labels, {train.features.dim(0)});
  return percent_right(knn_predict(test.features, train.features, labels, k, options.temperature, classes),
                       test.labels);
}

void LinearOptions::fields(Fields& f) {
  f("epochs", epochs, "passes over the training features");
  f("batch", batch, "features per step");
  f("lr", rate, "learning rate for a batch of 256; the rate used is lr · batch / 256");
  f("weight-decay", decay, "weight decay");
  f("seed", seed, "of the order and, with --augment, of the views");
  f("augment", augment,
    "new random crops and flips each epoch, as the papers train it; slow: all is encoded each time");
  f("crop-min", crop_min, "with --augment: smallest random crop, as a share of the image's area");
  f("flip", flip, "with --augment: probability of a horizontal flip");
}

std::string LinearOptions::protocol() const {
  const std::string views =
      augment ? fmt::format("random views (crops from {}, flip {}), tested on the centre view", crop_min, flip)
              : "the centre view";
  return fmt::format(
      "linear probe, offline, frozen standardised features of {}, SGD momentum 0.9, lr {} · batch / "
      "256, batch {}, {} epochs cosine, weight decay {}, last epoch",
      views, rate, batch, epochs, decay);
}

double linear_accuracy(const Features& train, const Features& test, int64_t classes, const LinearOptions& options) {
  check(!train.labels.empty() && !test.labels.empty(), "[linear] got images without labels; the probe needs them");
  check(options.epochs >= 1 && options.batch >= 1, "[linear] got --epochs {} and --batch {}, expected 1 or more",
        options.epochs, options.batch);
  const int64_t rows = train.features.dim(0), columns = train.features.dim(1);
  const Moments moments = moments_of(train.features);
  const Tensor x = standardise(train.features, moments), x_test = standardise(test.features, moments);

  Random random(static_cast<uint64_t>(options.seed));
  Linear classifier(columns, classes, random);
  classifier.weight.fill(0);
  classifier.bias.fill(0);
  ParameterArena arena(classifier, Device::cpu, DType::f32);
  Optimizer optimizer(arena, {.kind = "sgd", .momentum = 0.9});
  const int64_t batch = std::min(options.batch, rows), steps = rows / batch;
  const Schedule schedule =
      Schedule::cosine(options.rate * static_cast<double>(batch) / 256, 0, options.epochs * steps);
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const std::vector<int32_t> order = epoch_order(rows, static_cast<uint64_t>(options.seed), epoch);
    for (int64_t step = 0; step < steps; ++step) {
      std::vector<int32_t> labels(static_cast<size_t>(batch));
      for (int64_t i = 0; i < batch; ++i) labels[i] = train.labels[order[step * batch + i]];
      cross_entropy(classifier(gather_rows(x, order, step * batch, batch)), Tensor::from(labels, {batch})).backward();
      optimizer.step(schedule.at(epoch * steps + step), options.decay);
    }
  }

  NoGrad no_grad;
  const std::vector<float> logits = classifier(x_test).values();
  std::vector<int32_t> predicted(test.labels.size());
  for (size_t i = 0; i < predicted.size(); ++i) {
    const float* row = logits.data() + i * classes;
    predicted[i] = static_cast<int32_t>(std::max_element(row, row + classes) - row);
  }
  return percent_right(predicted, test.labels);
}

}  // namespace gestalt
