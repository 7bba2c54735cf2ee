// Row ops with their gradients.
#include "engine/ops/rows.h"

#include "engine/tensor/autograd.h"
#include "kernels/dropout.h"
#include "kernels/rows.h"

namespace gestalt {
namespace {

Tensor like(const Tensor& x) { return Tensor::empty(x.shape(), x.dtype(), x.device()); }

struct Extent {
  int64_t rows, columns;
};

Extent rows_of(const char* op, const Tensor& x) {
  check(x.rank() >= 1 && x.dim(-1) > 0, "[{}] got x {}, expected (…, D) with D > 0", op, x.shape().text());
  return {x.count() / x.dim(-1), x.dim(-1)};
}

Tensor per_row(const Tensor& x, int64_t rows) { return Tensor::empty({rows}, accumulator_of(x.dtype()), x.device()); }

void check_affine(const char* op, const Tensor& x, const Tensor& gamma, const Tensor& beta) {
  for (const Tensor* t : {&gamma, &beta})
    check(t->shape() == Shape{x.dim(-1)} && t->dtype() == accumulator_of(x.dtype()),
          "[{}] got x {} {} with a parameter {} {}, expected {} ({})", op, name(x.dtype()), x.shape().text(),
          name(t->dtype()), t->shape().text(), name(accumulator_of(x.dtype())), x.dim(-1));
}

// What the backward of a layer norm needs of its forward.
struct SavedNorm {
  Tensor h, gamma, beta, mean, inv_std;
  Extent extent;

  // dx, dgamma, dbeta; `dsum` may be undefined.
  Grads gradients(const Tensor& dy, const Tensor& dsum) const {
    Tensor dx = like(h), dgamma = gradient_memory(gamma), dbeta = gradient_memory(beta);
    kernels::launch(kernels::LayerNormBackward{.h = h.in(),
                                               .dy = dy.in(),
                                               .dsum = dsum.in(),
                                               .gamma = gamma.in(),
                                               .mean = mean.in(),
                                               .inv_std = inv_std.in(),
                                               .dx = dx.out(),
                                               .dgamma = dgamma.out(),
                                               .dbeta = dbeta.out(),
                                               .rows = extent.rows,
                                               .columns = extent.columns},
                    dy.stream());
    return {dx, dgamma, dbeta};
  }
};

Tensor softmax(const char* op, const Tensor& x, bool log) {
  const Extent e = rows_of(op, x);
  Tensor y = like(x);
  kernels::launch(kernels::Softmax{x.in(), y.out(), e.rows, e.columns, log}, x.stream());
  return record(op, y, {x}, [y = y.detach(), e, log](const Tensor& dy) -> Grads {
    Tensor dx = like(y);
    kernels::launch(
        kernels::SoftmaxBackward{
            .y = y.in(), .dy = dy.in(), .dx = dx.out(), .rows = e.rows, .columns = e.columns, .log = log},
        dy.stream());
    return {dx};
  });
}

Tensor dropped(const Tensor& x, double p, uint64_t seed, kernels::Varying<uint64_t> step, uint32_t slot) {
  Tensor y = like(x);
  kernels::launch(
      kernels::Dropout{.x = x.in(), .y = y.out(), .p = p, .seed = seed, .step = step, .slot = slot, .count = x.count()},
      x.stream());
  return y;
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  const Extent e = rows_of("layer_norm", x);
  check_affine("layer_norm", x, gamma, beta);
  Tensor y = like(x), mean = per_row(x, e.rows), inv_std = per_row(x, e.rows);
  kernels::launch(kernels::LayerNorm{.x = x.in(),
                                     .residual = {},
                                     .gamma = gamma.in(),
                                     .beta = beta.in(),
                                     .sum = {},
                                     .y = y.out(),
                                     .mean = mean.out(),
                                     .inv_std = inv_std.out(),
                                     .rows = e.rows,
                                     .columns = e.columns,
                                     .eps = eps},
                  x.stream());
  return record("layer_norm", y, {x, gamma, beta},
                [saved = SavedNorm{x.detach(), gamma, beta, mean, inv_std, e}](const Tensor& dy) -> Grads {
                  return saved.gradients(dy, {});
                });
}

SumAndNorm residual_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& gamma, const Tensor& beta,
                               double eps) {
  const Extent e = rows_of("residual_layer_norm", x);
  check_affine("residual_layer_norm", x, gamma, beta);
  check(residual.shape() == x.shape() && residual.dtype() == x.dtype(),
        "[residual_layer_norm] got residual {} {}, expected {} {}", name(residual.dtype()), residual.shape().text(),
        name(x.dtype()), x.shape().text());
  Tensor sum = like(x), y = like(x), mean = per_row(x, e.rows), inv_std = per_row(x, e.rows);
  kernels::launch(kernels::LayerNorm{.x = x.in(),
                                     .residual = residual.in(),
                                     .gamma = gamma.in(),
                                     .beta = beta.in(),
                                     .sum = sum.out(),
                                     .y = y.out(),
                                     .mean = mean.out(),
                                     .inv_std = inv_std.out(),
                                     .rows = e.rows,
                                     .columns = e.columns,
                                     .eps = eps},
                  x.stream());
  const std::vector<Tensor> outputs =
      record("residual_layer_norm", std::vector<Tensor>{sum, y}, {x, residual, gamma, beta},
             [saved = SavedNorm{sum.detach(), gamma, beta, mean, inv_std, e}](const Grads& dys) -> Grads {
               if (!dys[1]) return {dys[0], dys[0], {}, {}};
               const Grads g = saved.gradients(dys[1], dys[0]);
               return {g[0], g[0], g[1], g[2]};
             });
  return {outputs[0], outputs[1]};
}

Tensor softmax(const Tensor& x) { return softmax("softmax", x, false); }
Tensor log_softmax(const Tensor& x) { return softmax("log_softmax", x, true); }

Tensor normalize(const Tensor& x, double eps) {
  const Extent e = rows_of("normalize", x);
  check(eps > 0, "[normalize] got eps {}, expected more than 0", eps);
  Tensor y = like(x), inv_norm = per_row(x, e.rows);
  kernels::launch(
      kernels::Normalize{
          .x = x.in(), .y = y.out(), .inv_norm = inv_norm.out(), .rows = e.rows, .columns = e.columns, .eps = eps},
      x.stream());
  return record("normalize", y, {x}, [y = y.detach(), inv_norm, e, eps](const Tensor& dy) -> Grads {
    Tensor dx = like(y);
    kernels::launch(kernels::NormalizeBackward{.y = y.in(),
                                               .dy = dy.in(),
                                               .inv_norm = inv_norm.in(),
                                               .dx = dx.out(),
                                               .rows = e.rows,
                                               .columns = e.columns,
                                               .eps = eps},
                    dy.stream());
    return {dx};
  });
}

Tensor dropout(const Tensor& x, double p, uint64_t seed, kernels::Varying<uint64_t> step, uint32_t slot) {
  check(p >= 0 && p < 1, "[dropout] got p {}, expected it in [0, 1)", p);
  if (p == 0) return x;
  return record("dropout", dropped(x, p, seed, step, slot), {x},
                [=](const Tensor& dy) -> Grads { return {dropped(dy, p, seed, step, slot)}; });
}

}  // namespace gestalt
