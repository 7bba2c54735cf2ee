// Optimizers, conversion, augmentation, masking and nearest neighbours at the sizes that training meets.
#include "bench/kernel_cases.h"

#include <memory>

#include "bench/workload.h"
#include "engine/ops/knn.h"
#include "engine/ops/patch.h"
#include "engine/tensor/random.h"
#include "kernels/elementwise.h"
#include "kernels/optimizer.h"

namespace gestalt::bench {
namespace {

constexpr int64_t arena_size = int64_t{16} << 20;
constexpr double arena_bytes = 4.0 * arena_size;

Tensor normal(const Shape& shape, uint64_t seed) { return Random(seed).normal(shape, 0, 1); }

// What optimizers work on: 16 M parameters in sixteen tensors; with bf16, their shadows too.
struct Arena {
  Tensor weights = normal({arena_size}, 1), grads = normal({arena_size}, 2);
  Tensor first = Tensor::zeros({arena_size}), second = Tensor::zeros({arena_size}), shadows;
  Tensor squared_norm = Tensor::full({2}, 1, DType::f64), norms = Tensor::zeros({32}, DType::f64);
  std::vector<kernels::Segment> segments;
  Stream stream = weights.stream();
  double shadow_bytes = 0;

  explicit Arena(DType dtype) {
    constexpr int64_t each = arena_size / 16;
    for (int64_t i = 0; i < 16; ++i) segments.push_back({i * each, (i + 1) * each, 1, 1, 1, 0});
    if (dtype == DType::f32) return;
    shadows = Tensor::zeros({arena_size}, dtype);
    shadow_bytes = arena_bytes / 2;
  }
};

KernelWork adamw(DType dtype) {
  const auto a = std::make_shared<Arena>(dtype);
  return {[a] {
            kernels::launch(kernels::AdamwStep{.weights = a->weights.out(),
                                               .first = a->first.out(),
                                               .second = a->second.out(),
                                               .shadows = a->shadows.out(),
                                               .grads = a->grads.in(),
                                               .squared_norm = {},
                                               .norms = {},
                                               .segments = a->segments.data(),
                                               .segment_count = 16,
                                               .count = arena_size,
                                               .numbers = kernels::UpdateNumbers{1e-4f, 0.01f},
                                               .beta1 = 0.9f,
                                               .beta2 = 0.999f,
                                               .epsilon = 1e-8f,
                                               .max_norm = 0,
                                               .clip_each = false},
                            a->stream);
          },
          7 * arena_bytes + a->shadow_bytes, 14.0 * arena_size};
}

// SGD with momentum, or LARS with the norms it needs.
KernelWork sgd(DType dtype, bool lars) {
  const auto a = std::make_shared<Arena>(dtype);
  return {[a, lars] {
            const In norms = lars ? a->norms.in() : In{};
            if (lars)
              kernels::launch(kernels::SegmentNorms{.weights = a->weights.in(),
                                                    .grads = a->grads.in(),
                                                    .segments = a->segments.data(),
                                                    .segment_count = 16,
                                                    .count = arena_size,
                                                    .norms = a->norms.out()},
                              a->stream);
            kernels::launch(kernels::SgdStep{.weights = a->weights.out(),
                                             .moments = a->first.out(),
                                             .shadows = a->shadows.out(),
                                             .grads = a->grads.in(),
                                             .squared_norm = {},
                                             .norms = norms,
                                             .segments = a->segments.data(),
                                             .segment_count = 16,
                                             .count = arena_size,
                                             .numbers = kernels::UpdateNumbers{1e-3f, 1e-4f},
                                             .momentum = 0.9f,
                                             .max_norm = 0,
                                             .clip_each = false,
                                             .trust = lars ? 0.02f : 0,
                                             .clip_local = false},
                            a->stream);
          },
          (lars ? 7 : 5) * arena_bytes + a->shadow_bytes, (lars ? 10.0 : 6.0) * arena_size};
}

KernelWork grad_norm(DType) {
  const auto a = std::make_shared<Arena>(DType::f32);
  return {[a] {
            kernels::launch(kernels::GradNorm{a->grads.in(), a->squared_norm.out(), arena_size}, a->stream);
          },
          arena_bytes, 2.0 * arena_size};
}

KernelWork ema(DType dtype) {
  const auto a = std::make_shared<Arena>(dtype);
  return {[a] {
            kernels::launch(kernels::EmaStep{a->first.out(), a->shadows.out(), a->weights.in(), 0.99, arena_size},
                            a->stream);
          },
          3 * arena_bytes + a->shadow_bytes, 3.0 * arena_size};
}

KernelWork fill(DType dtype) {
  const auto y = std::make_shared<Tensor>(Tensor::zeros({arena_size}, dtype));
  return {[y] { y->fill(1); }, static_cast<double>(y->bytes())};
}

KernelWork convert(DType from) {
  const auto x = std::make_shared<Tensor>(normal({arena_size}, 1).to(from));
  const DType to = from == DType::f32 ? DType::bf16 : DType::f32;
  const auto y = std::make_shared<Tensor>(Tensor::zeros({arena_size}, to));
  return {[x, y] { kernels::launch(kernels::Convert{x->in(), y->out(), arena_size}, x->stream()); }, 1.5 * arena_bytes};
}

// Two views. For each pixel of a view, about 100 operations for resampling, jitter and normalisation, and, where half
// the views are blurred with 23 taps in two passes, 140 more.
KernelWork augment(DType dtype, const char* workload, double image, double operations) {
  const std::shared_ptr<Workload> work = make_workload({.name = workload, .dtype = dtype, .fields = {}});
  const double pixels = work->items * static_cast<double>(work->size * work->size);
  return {[work] { work->step(); },
          static_cast<double>(work->batch) * image * image * 3 + pixels * 3 * static_cast<double>(size_of(dtype)),
          pixels * operations};
}

KernelWork random_masks(DType) {
  const Tensor samples = first_samples(256, Device::cpu);
  return {[samples] { random_mask(samples, 196, 0.75, 1, 0); }, 4.0 * 256 * (1 + 196 + 50), 100.0 * 256 * 196};
}

KernelWork knn(DType dtype) {
  constexpr int64_t queries = 512, bank = 20'000, columns = 512;
  const Tensor q = normal({queries, columns}, 1).to(dtype), b = normal({bank, columns}, 2).to(dtype);
  std::vector<int32_t> classes(bank);
  for (int64_t i = 0; i < bank; ++i) classes[i] = static_cast<int32_t>(i % 10);
  const Tensor labels = Tensor::from(std::span<const int32_t>(classes), {bank});
  return {[=] { knn_predict(q, b, labels, 200, 0.1, 10); },
          static_cast<double>((queries + bank) * columns * size_of(dtype)),
          2.0 * static_cast<double>(queries * bank * columns)};
}

}  // namespace

const std::vector<KernelCase>& kernel_cases() {
  const std::vector<DType> f32{DType::f32}, both{DType::f32, DType::bf16};
  static const std::vector<KernelCase> cases{
      {"adamw", both, adamw},
      {"sgd", both, [](DType dtype) { return sgd(dtype, false); }},
      {"lars", both, [](DType dtype) { return sgd(dtype, true); }},
      {"grad_norm", f32, grad_norm},
      {"ema", both, ema},
      {"fill", both, fill},
      {"convert from", both, convert},
      {"augment 2 x 32", both, [](DType dtype) { return augment(dtype, "augment-32", 32, 100); }},
      {"augment 2 x 224 blur", both, [](DType dtype) { return augment(dtype, "augment-224", 256, 240); }},
      {"random_mask", f32, random_masks},
      {"knn", both, knn}};
  return cases;
}

}  // namespace gestalt::bench
