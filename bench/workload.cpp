// The workloads that are one op each, and the list of all.
#include "bench/workload.h"

#include <functional>
#include <numeric>

#include "engine/data/images/augment.h"
#include "engine/nn/optimizer.h"
#include "engine/ops/contrast.h"
#include "engine/ops/covariance.h"
#include "engine/ops/info_nce.h"
#include "engine/ops/masked_loss.h"
#include "engine/ops/patch.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "engine/ops/rows.h"
#include "engine/ops/sigreg.h"
#include "engine/ops/sinkhorn.h"
#include "engine/ops/soft_cross_entropy.h"
#include "engine/ops/tokens.h"
#include "engine/run/fields.h"
#include "engine/tensor/random.h"

namespace gestalt::bench {
namespace {

Tensor normal(const Shape& shape, uint64_t seed, const WorkloadOptions& o) {
  return Random(seed).normal(shape, 0, 1).to(o.dtype).to(o.device).detach();
}

// A loss, forward and backward, of `batch` rows and `size` columns.
class LossWork : public Workload {
 public:
  using LossOf = std::function<Tensor(const Tensor& z)>;
  // `prepare` makes what the loss is taken against, and gives the loss.
  LossWork(const WorkloadOptions& o, int64_t columns,
           const std::function<LossOf(int64_t rows, int64_t columns)>& prepare)
      : Workload(o) {
    batch = o.batch > 0 ? o.batch : 4096, size = o.size > 0 ? o.size : columns;
    items = static_cast<double>(batch), item = "rows";
    z_ = normal({batch, size}, 1, o).require_grad();
    loss_of_ = prepare(batch, size);
  }
  void enqueue() override {
    z_.set_grad({});
    loss_ = loss_of_(z_);
    loss_.backward();
  }
  double loss() const override { return loss_.item(); }

 private:
  LossOf loss_of_;
  Tensor z_, loss_;
};

WorkloadEntry loss_workload(const char* name, const char* help, int64_t columns,
                            std::function<LossWork::LossOf(int64_t, int64_t, const WorkloadOptions&)> prepare) {
  return {name, help, [columns, prepare = std::move(prepare)](const WorkloadOptions& o) -> std::unique_ptr<Workload> {
            return std::make_unique<LossWork>(o, columns,
                                              [&](int64_t rows, int64_t width) { return prepare(rows, width, o); });
          }};
}

// MoCo's and NNCLR's loss against a queue of 16,384 rows; keys get no gradient.
LossWork::LossOf against_queue(int64_t rows, int64_t columns, const WorkloadOptions& o) {
  const Tensor keys = normal({rows, columns}, 2, o);
  const Tensor queue = normalize(Random(3).normal({16384, columns}, 0, 1).to(o.device)).detach();
  return [=](const Tensor& z) {
    return info_nce(z, keys, {.temperature = 0.2, .negatives = queue, .batch_negatives = false}).loss;
  };
}

// DINO's loss of two views, of as many images as there are half rows.
LossWork::LossOf against_teacher(int64_t rows, int64_t columns, const WorkloadOptions& o) {
  const Tensor targets = normal({rows, columns}, 2, o), centre = Random(3).normal({columns}, 0, 1).to(o.device);
  return [=](const Tensor& z) { return soft_cross_entropy(z, targets, rows / 2, {.centre = centre}).loss; };
}

// LeJEPA's SIGReg of two views along 1,024 directions, new ones in each step.
LossWork::LossOf along_slices(int64_t, int64_t columns, const WorkloadOptions& o) {
  return [columns, device = o.device, step = uint64_t{0}](const Tensor& z) mutable {
    const Tensor slices = random_slices(1024, columns, 1, step++, device);
    return epps_pulley(linear(z.to(DType::f32), slices), 2);
  };
}

// SwAV's loss of two views: assignments of the scores, and each view's prediction of the other's.
Tensor swapped_prediction(const Tensor& scores) {
  const int64_t images = scores.dim(0) / 2;
  const Tensor fixed = scores.detach();
  const Tensor targets = concat(sinkhorn(fixed.slice(0, images)).rows, sinkhorn(fixed.slice(images, 2 * images)).rows);
  return soft_cross_entropy(scores, targets, images, {.temperature = 0.1, .probabilities = true}).loss;
}

// VICReg's three terms, of two views.
Tensor three_terms(const Tensor& z) {
  const Tensor a = z.slice(0, z.dim(0) / 2), b = z.slice(z.dim(0) / 2, z.dim(0));
  const Tensor hinge = scale(add(variance_hinge(a), variance_hinge(b)), 12.5);
  return add(add(scale(mean_squared(a, b), 25), hinge), add(covariance_loss(a), covariance_loss(b)));
}

// For what needs nothing but z.
auto plainly(Tensor (*loss)(const Tensor&)) {
  return [loss](int64_t, int64_t, const WorkloadOptions&) -> LossWork::LossOf { return loss; };
}

// Two views, as SimCLR's or BYOL's, of `batch` images as large as the views, or of 256 pixels for views of 224.
class AugmentWork : public Workload {
 public:
  AugmentWork(const WorkloadOptions& o, int64_t view, int64_t image, bool byol = false) : Workload(o), dtype_(o.dtype) {
    batch = o.batch > 0 ? o.batch : 64, size = o.size > 0 ? o.size : view;
    items = 2 * static_cast<double>(batch), item = "views";
    const auto side = static_cast<int32_t>(o.size > 0 ? o.size : image);
    const int64_t bytes = int64_t{side} * side * 3;
    pixels_ = Tensor::empty({batch * bytes}, DType::u8);
    const Tensor noise = Random(1).uniform({batch * bytes}, 0, 256);
    for (int64_t i = 0; i < batch * bytes; ++i)
      pixels_.data<uint8_t>()[i] = static_cast<uint8_t>(noise.data<float>()[i]);
    pixels_ = pixels_.to(o.device);
    for (int64_t i = 0; i < batch; ++i) {
      frames_.push_back({i * bytes, side, side});
      samples_.push_back(static_cast<int32_t>(i));
    }
    AugmentOptions options;
    options.normalise = "imagenet";
    if (size >= 96) options.blur = 0.5;
    views_ = {options.parameters(), options.parameters()};
    if (byol) views_[0].blur = 1, views_[1].blur = 0.1f, views_[1].solarize = 0.2f;
  }
  void enqueue() override { augment(pixels_, frames_, samples_, views_, size, 1, step_++, dtype_); }

 private:
  DType dtype_;
  Tensor pixels_;
  std::vector<kernels::Frame> frames_;
  std::vector<int32_t> samples_;
  std::vector<kernels::AugmentParameters> views_;
  uint64_t step_ = 0;
};

// The masked reconstruction loss of ViT-B's MAE and its gradient: `batch` images of `size`, patches of 16.
class MaskedLossWork : public Workload {
 public:
  explicit MaskedLossWork(const WorkloadOptions& o) : Workload(o) {
    constexpr int64_t side = 16;
    batch = o.batch > 0 ? o.batch : 128, size = o.size > 0 ? o.size : 224;
    items = static_cast<double>(batch), item = "images";
    const int64_t patches = size / side * (size / side);
    predictions_ = normal({batch, patches, side * side * 3}, 1, o).require_grad();
    images_ = Random(2).normal({batch, size, size, 3}, 0, 1).to(o.device);
    masked_ = random_mask(first_samples(batch, o.device), patches, 0.75, 3, 0).masked;
  }
  void enqueue() override {
    predictions_.set_grad({});
    loss_ = masked_loss(predictions_, images_, masked_, 16, true);
    loss_.backward();
  }
  double loss() const override { return loss_.item(); }

 private:
  Tensor predictions_, images_, masked_, loss_;
};

// One update of AdamW, the pass over weights, gradients and moments alone: `batch` parameters in 48 tensors.
class AdamwWork : public Workload {
 public:
  explicit AdamwWork(const WorkloadOptions& o) : Workload(o) {
    constexpr int64_t tensors = 48;
    batch = o.batch > 0 ? o.batch : 124'000'000;
    const int64_t each = batch / tensors / 16 * 16;
    parameters = each * tensors, items = static_cast<double>(parameters), item = "parameters";
    std::vector<kernels::Segment> layout;
    for (int64_t i = 0; i < tensors; ++i) layout.push_back({i * each, (i + 1) * each, 1, 1, 1, 0});
    const auto* bytes = reinterpret_cast<const uint8_t*>(layout.data());
    const size_t length = layout.size() * sizeof(kernels::Segment);
    segments_ = Tensor::from(std::span(bytes, length), {static_cast<int64_t>(length)}).to(o.device);
    for (Tensor* t : {&weights_, &grads_, &first_, &second_}) *t = Tensor::zeros({parameters}, DType::f32, o.device);
    // A million draws, repeated: the time does not depend on the values, drawing 124 million would take minutes.
    const Tensor draw = normal({1'000'000}, 1, {.name = {}, .dtype = DType::f32, .device = o.device, .fields = {}});
    for (Tensor* t : {&weights_, &grads_})
      for (int64_t at = 0; at < parameters; at += draw.count())
        t->slice(at, std::min(parameters, at + draw.count()))
            .copy_from(draw.slice(0, std::min(draw.count(), parameters - at)));
    if (o.dtype == DType::bf16) shadows_ = Tensor::zeros({parameters}, DType::bf16, o.device);
  }
  void enqueue() override {
    const auto* segments = reinterpret_cast<const kernels::Segment*>(segments_.data<uint8_t>());
    kernels::launch(kernels::AdamwStep{.weights = weights_.out(),
                                       .first = first_.out(),
                                       .second = second_.out(),
                                       .shadows = shadows_.out(),
                                       .grads = grads_.in(),
                                       .squared_norm = {},
                                       .norms = {},
                                       .segments = segments,
                                       .segment_count = 48,
                                       .count = weights_.count(),
                                       .numbers = kernels::UpdateNumbers{1e-4f, 0.01f},
                                       .beta1 = 0.9f,
                                       .beta2 = 0.999f,
                                       .epsilon = 1e-8f,
                                       .max_norm = 0,
                                       .clip_each = false},
                    weights_.stream());
  }

 private:
  Tensor weights_, grads_, first_, second_, shadows_, segments_;
};

}  // namespace

std::vector<WorkloadEntry> op_workloads() {
  return {loss_workload("nt_xent", "NT-Xent, forward and backward; --batch rows, --size columns", 128,
                        plainly([](const Tensor& z) { return nt_xent(z, 0.5); })),
          loss_workload("hard_negatives", "the same with hard and debiased negatives", 128,
                        plainly([](const Tensor& z) { return pair_contrast(z, {.beta = 1, .tau_plus = 0.1}).loss; })),
          loss_workload("info_nce", "MoCo's loss against a queue of 16,384", 128, against_queue),
          loss_workload("dino_loss", "DINO's loss of two views, forward and backward; --size prototypes", 4096,
                        against_teacher),
          loss_workload("swav_loss", "SwAV's assignments and its loss of two views; --size prototypes", 3000,
                        plainly(swapped_prediction)),
          loss_workload("sigreg", "LeJEPA's SIGReg of two views along 1,024 directions", 128, along_slices),
          loss_workload("vicreg_loss", "VICReg's three terms of two views, forward and backward; --size columns", 2048,
                        plainly(three_terms)),
          {"augment-32", "two views of 32 pixels",
           [](const WorkloadOptions& o) { return std::make_unique<AugmentWork>(o, 32, 32); }},
          {"augment-224", "two views of 224 pixels from images of 256, with blur",
           [](const WorkloadOptions& o) -> std::unique_ptr<Workload> {
             return std::make_unique<AugmentWork>(o, 224, 256);
           }},
          {"augment-224-byol", "the same with BYOL's views: every operation, solarize too",
           [](const WorkloadOptions& o) -> std::unique_ptr<Workload> {
             return std::make_unique<AugmentWork>(o, 224, 256, true);
           }},
          {"masked_loss", "the masked reconstruction loss and its gradient, patches of 16",
           [](const WorkloadOptions& o) -> std::unique_ptr<Workload> { return std::make_unique<MaskedLossWork>(o); }},
          {"adamw", "AdamW's pass over --batch parameters; with bf16, shadow weights too",
           [](const WorkloadOptions& o) { return std::make_unique<AdamwWork>(o); }}};
}

Tensor first_samples(int64_t batch, Device device) {
  std::vector<int32_t> samples(static_cast<size_t>(batch));
  std::iota(samples.begin(), samples.end(), 0);
  return Tensor::from(samples, {batch}).to(device);
}

const std::vector<WorkloadEntry>& list_workloads() {
  static const std::vector<WorkloadEntry> all = [] {
    std::vector<WorkloadEntry> entries = training_workloads();
    for (WorkloadEntry& entry : op_workloads()) entries.push_back(std::move(entry));
    return entries;
  }();
  return all;
}

std::unique_ptr<Workload> make_workload(const WorkloadOptions& options) {
  std::vector<std::string> names;
  for (const WorkloadEntry& entry : list_workloads()) {
    if (entry.name == options.name) return entry.make(options);
    names.push_back(entry.name);
  }
  fail("[workload] got '{}', which is none{}", options.name, suggestion(options.name, names));
}

}  // namespace gestalt::bench
