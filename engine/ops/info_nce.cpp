// Contrast against many negatives with its gradients.
#include "engine/ops/info_nce.h"

#include <algorithm>

#include "engine/tensor/autograd.h"
#include "kernels/info_nce.h"

namespace gestalt {
namespace {

// What an op compares; k is undefined in a self contrast.
struct Sides {
  Tensor q, k, negatives, labels;
  kernels::ContrastForm form;
};

Tensor accumulators(const Tensor& x, const Shape& shape) {
  return Tensor::empty(shape, accumulator_of(x.dtype()), x.device());
}

Tensor like(const Tensor& x) { return Tensor::empty(x.shape(), x.dtype(), x.device()); }

void check_temperature(const char* op, const kernels::ContrastForm& form) {
  check(form.temperature >= 0.0137,
        "[{}] got temperature {}, expected 0.0137 or more; below, f32 has no room for the exponentials", op,
        form.temperature);
  check(!form.hard || form.first() <= 40,
        "[{}] got temperature {} with β {}, expected (1 + β) / temperature of 40 or less; raise the temperature", op,
        form.temperature, form.beta);
}

ContrastLoss contrast(const char* op, const Sides& of) {
  const Tensor& q = of.q;
  const bool pair = bool(of.k);
  const int64_t rows = q.dim(0), dim = q.dim(1), extra = of.negatives ? of.negatives.dim(0) : 0;
  Tensor inv_q = accumulators(q, {rows}), inv_k = pair ? accumulators(q, {rows}) : inv_q;
  Tensor slopes = accumulators(q, {kernels::contrast_slopes, rows});
  const bool need_dq = q.requires_grad(), need_dk = pair && of.k.requires_grad();
  Tensor pulled = pair && need_dq ? accumulators(q, {rows, dim}) : Tensor();
  ContrastLoss result{accumulators(q, {1}), accumulators(q, {1})};
  kernels::launch(kernels::InfoNce{.q = q.in(),
                                   .k = of.k.in(),
                                   .extra = of.negatives.in(),
                                   .labels = of.labels.in(),
                                   .inv_norm_q = inv_q.out(),
                                   .inv_norm_k = inv_k.out(),
                                   .slopes = slopes.out(),
                                   .pulled = pulled ? pulled.out() : Out{},
                                   .loss = result.loss.out(),
                                   .accuracy = result.accuracy.out(),
                                   .rows = rows,
                                   .dim = dim,
                                   .extra_count = extra,
                                   .form = of.form},
                  q.stream());
  const auto backward = [=, q = q.detach(), k = pair ? of.k.detach() : Tensor(), labels = of.labels,
                         form = of.form](const Tensor& dy) -> Grads {
    Tensor dq = need_dq ? like(q) : Tensor(), dk = need_dk ? like(k) : Tensor();
    kernels::launch(kernels::InfoNceBackward{.q = q.in(),
                                             .k = k.in(),
                                             .labels = labels.in(),
                                             .inv_norm_q = inv_q.in(),
                                             .inv_norm_k = inv_k.in(),
                                             .slopes = slopes.in(),
                                             .pulled = pulled.in(),
                                             .dloss = dy.in(),
                                             .dq = need_dq ? dq.out() : Out{},
                                             .dk = need_dk ? dk.out() : Out{},
                                             .rows = rows,
                                             .dim = dim,
                                             .form = form},
                    dy.stream());
    return pair ? Grads{dq, dk} : Grads{dq};
  };
  result.loss = record(op, result.loss, pair ? std::vector<Tensor>{q, of.k} : std::vector<Tensor>{q}, backward);
  return result;
}

}  // namespace

ContrastLoss info_nce(const Tensor& q, const Tensor& k, const InfoNceOptions& options) {
  check(q.rank() == 2 && q.shape() == k.shape() && q.dtype() == k.dtype() && q.dim(0) >= 1 && q.dim(1) >= 1,
        "[info_nce] got q {} {} and k {} {}, expected two of (B, D) in one dtype", name(q.dtype()), q.shape().text(),
        name(k.dtype()), k.shape().text());
  const Tensor& negatives = options.negatives;
  check(!negatives ||
            (negatives.rank() == 2 && negatives.dim(1) == q.dim(1) && negatives.dtype() == accumulator_of(q.dtype())),
        "[info_nce] got negatives {}, expected {} (K, {})", negatives ? negatives.shape().text() : "",
        name(accumulator_of(q.dtype())), q.dim(1));
  check((options.batch_negatives && q.dim(0) > 1) || (negatives && negatives.dim(0) > 0),
        "[info_nce] got {} rows and no negatives, expected a queue or a larger batch", q.dim(0));
  const kernels::ContrastForm form{.temperature = options.temperature, .batch_negatives = options.batch_negatives};
  check_temperature("info_nce", form);
  return contrast("info_nce", {q, k, negatives ? negatives.detach() : Tensor(), {}, form});
}

ContrastLoss pair_contrast(const Tensor& z, const PairContrastOptions& o) {
  check(z.rank() == 2 && z.dim(0) >= 4 && z.dim(0) % 2 == 0 && z.dim(1) >= 1,
        "[pair_contrast] got z {}, expected (2B, D) of two images or more: the first views, then the second",
        z.shape().text());
  const int64_t images = z.dim(0) / 2;
  check(!o.labels || (o.labels.shape() == Shape{images} && o.labels.dtype() == DType::i32),
        "[pair_contrast] got labels {}, expected i32 ({}), one an image", o.labels ? o.labels.shape().text() : "",
        images);
  check(o.beta >= 0 && o.tau_plus >= 0 && o.tau_plus < 1,
        "[pair_contrast] got β {} and τ⁺ {}, expected 0 or more, and 0 up to 1", o.beta, o.tau_plus);
  const bool hard = o.beta > 0 || o.tau_plus > 0;
  check(int{o.decoupled} + hard + bool(o.labels) <= 1,
        "[pair_contrast] got several of decoupled, hard negatives and labels, expected one form at a time");
  check(o.weight_temperature == 0 || (o.decoupled && o.weight_temperature > 0),
        "[pair_contrast] got weight temperature {}, expected 0, or a positive one with decoupled",
        o.weight_temperature);
  const kernels::ContrastForm form{.temperature = o.temperature,
                                   .self = true,
                                   .decoupled = o.decoupled,
                                   .weight_temperature = o.weight_temperature,
                                   .hard = hard,
                                   .beta = o.beta,
                                   .tau_plus = o.tau_plus};
  check_temperature("pair_contrast", form);
  Tensor labels;  // of both views
  if (o.labels) {
    labels = Tensor::empty({2 * images}, DType::i32, z.device());
    for (int64_t v = 0; v < 2; ++v) labels.slice(v * images, (v + 1) * images).copy_from(o.labels);
  }
  return contrast("pair_contrast", {z, {}, {}, labels, form});
}

Tensor view_accuracy(const Tensor& z, int64_t images) {
  check(z.rank() == 2 && z.dim(0) >= 4 && z.dim(0) % 2 == 0 && images >= 1,
        "[view_accuracy] got z {} and {} images, expected (2B, D) of two images or more, and 1 or more",
        z.shape().text(), images);
  const NoGrad off;
  const int64_t all = z.dim(0) / 2, count = std::min(images, all);
  const Tensor held = z.detach();
  InfoNceOptions options;
  if (count < all) options.negatives = held.slice(all + count, 2 * all).to(accumulator_of(z.dtype()));
  return info_nce(held.slice(0, count), held.slice(all, all + count), options).accuracy;
}

}  // namespace gestalt
