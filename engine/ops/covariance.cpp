// Losses on the statistics of a batch with their gradients.
#include "engine/ops/covariance.h"

#include "engine/tensor/autograd.h"
#include "kernels/covariance.h"
#include "kernels/product.h"

namespace gestalt {
namespace {

// A fresh tensor that goes with x in the dtype that sums of x are held in.
Tensor accumulators(const Tensor& x, const Shape& shape) {
  return Tensor::empty(shape, accumulator_of(x.dtype()), x.device());
}

Tensor like(const Tensor& x) { return Tensor::empty(x.shape(), x.dtype(), x.device()); }

void check_batch(const char* op, const Tensor& z) {
  check(z.rank() == 2 && z.dim(0) >= 2 && z.dim(1) >= 1, "[{}] got z {}, expected (N, D) with N of 2 or more", op,
        z.shape().text());
}

}  // namespace

Tensor mean_squared(const Tensor& a, const Tensor& b) {
  check(a.shape() == b.shape() && a.dtype() == b.dtype() && a.count() >= 1,
        "[mean_squared] got a {} {} and b {} {}, expected equal shapes and dtypes", name(a.dtype()), a.shape().text(),
        name(b.dtype()), b.shape().text());
  Tensor loss = accumulators(a, {1});
  kernels::launch(kernels::MeanSquared{a.in(), b.in(), loss.out(), a.count()}, a.stream());
  const bool need_da = a.requires_grad(), need_db = b.requires_grad();
  return record("mean_squared", loss, {a, b}, [=, a = a.detach(), b = b.detach()](const Tensor& dy) -> Grads {
    Tensor da = need_da ? like(a) : Tensor(), db = need_db ? like(b) : Tensor();
    kernels::launch(kernels::MeanSquaredBackward{.a = a.in(),
                                                 .b = b.in(),
                                                 .dloss = dy.in(),
                                                 .da = need_da ? da.out() : Out{},
                                                 .db = need_db ? db.out() : Out{},
                                                 .count = a.count()},
                    dy.stream());
    return {da, db};
  });
}

Tensor variance_hinge(const Tensor& z, double target, double eps) {
  check_batch("variance_hinge", z);
  check(eps > 0, "[variance_hinge] got eps {}, expected a positive one", eps);
  const int64_t rows = z.dim(0), columns = z.dim(1);
  Tensor mean = accumulators(z, {columns}), std = accumulators(z, {columns}), loss = accumulators(z, {1});
  kernels::launch(kernels::VarianceHinge{.z = z.in(),
                                         .mean = mean.out(),
                                         .std = std.out(),
                                         .loss = loss.out(),
                                         .rows = rows,
                                         .columns = columns,
                                         .target = target,
                                         .eps = eps},
                  z.stream());
  return record("variance_hinge", loss, {z}, [=, z = z.detach()](const Tensor& dy) -> Grads {
    Tensor dz = like(z);
    kernels::launch(kernels::VarianceHingeBackward{.z = z.in(),
                                                   .mean = mean.in(),
                                                   .std = std.in(),
                                                   .dloss = dy.in(),
                                                   .dz = dz.out(),
                                                   .rows = rows,
                                                   .columns = columns,
                                                   .target = target},
                    dy.stream());
    return {dz};
  });
}

Tensor covariance_loss(const Tensor& z) {
  check_batch("covariance_loss", z);
  const int64_t rows = z.dim(0), dim = z.dim(1);
  const double share = 1 / static_cast<double>(rows - 1);
  Tensor centred = like(z), products = accumulators(z, {dim, dim}), loss = accumulators(z, {1});
  kernels::launch(kernels::CentreColumns{z.in(), centred.out(), rows, dim}, z.stream());
  kernels::launch(kernels::Product{.a = centred.in(),
                                   .b = centred.in(),
                                   .bias = {},
                                   .c = products.out(),
                                   .m = dim,
                                   .n = dim,
                                   .k = rows,
                                   .transpose_a = true},
                  z.stream());
  // What backward multiplies by takes the place of the products where the dtype allows.
  Tensor off;
  if (recording({z})) off = products.dtype() == z.dtype() ? products : Tensor::empty({dim, dim}, z.dtype(), z.device());
  kernels::launch(kernels::OffDiagonal{products.in(), off ? off.out() : Out{}, loss.out(), dim, share}, z.stream());
  // ∂/∂z = 4/(D·(N−1)) · centred · (C without its diagonal); its columns have mean 0 as those of `centred` have.
  return record("covariance_loss", loss, {z}, [=](const Tensor& dy) -> Grads {
    Tensor product = accumulators(centred, centred.shape()), dz = like(centred);
    kernels::launch(
        kernels::Product{
            .a = centred.in(), .b = off.in(), .bias = {}, .c = product.out(), .m = rows, .n = dim, .k = dim},
        dy.stream());
    kernels::launch(
        kernels::ScaleBy{product.in(), dy.in(), dz.out(), 4 * share / static_cast<double>(dim), product.count()},
        dy.stream());
    return {dz};
  });
}

CrossCorrelationLoss cross_correlation(const Tensor& a, const Tensor& b, double off_weight) {
  check_batch("cross_correlation", a);
  check(a.shape() == b.shape() && a.dtype() == b.dtype(),
        "[cross_correlation] got a {} {} and b {} {}, expected equal shapes and dtypes", name(a.dtype()),
        a.shape().text(), name(b.dtype()), b.shape().text());
  const int64_t rows = a.dim(0), dim = a.dim(1);
  const double share = 1 / static_cast<double>(rows);
  Tensor products = accumulators(a, {dim, dim});
  CrossCorrelationLoss result{accumulators(a, {1}), accumulators(a, {1}), accumulators(a, {1})};
  kernels::launch(kernels::Product{.a = a.in(),
                                   .b = b.in(),
                                   .bias = {},
                                   .c = products.out(),
                                   .m = dim,
                                   .n = dim,
                                   .k = rows,
                                   .transpose_a = true},
                  a.stream());
  Tensor slope;
  if (recording({a, b}))
    slope = products.dtype() == a.dtype() ? products : Tensor::empty({dim, dim}, a.dtype(), a.device());
  kernels::launch(kernels::CrossCorrelation{.products = products.in(),
                                            .slope = slope ? slope.out() : Out{},
                                            .loss = result.loss.out(),
                                            .diagonal = result.diagonal.out(),
                                            .redundancy = result.redundancy.out(),
                                            .dim = dim,
                                            .scale = share,
                                            .off_weight = off_weight},
                  a.stream());
  const bool need_da = a.requires_grad(), need_db = b.requires_grad();
  // ∂/∂a = b·slopeᵀ / N and ∂/∂b = a·slope / N.
  const auto backward = [=, a = a.detach(), b = b.detach()](const Tensor& dy) -> Grads {
    const auto through = [&](const Tensor& other, bool transposed) {
      Tensor product = accumulators(other, other.shape()), d = like(other);
      kernels::launch(kernels::Product{.a = other.in(),
                                       .b = slope.in(),
                                       .bias = {},
                                       .c = product.out(),
                                       .m = rows,
                                       .n = dim,
                                       .k = dim,
                                       .transpose_b = transposed},
                      dy.stream());
      kernels::launch(kernels::ScaleBy{product.in(), dy.in(), d.out(), share, product.count()}, dy.stream());
      return d;
    };
    return {need_da ? through(b, true) : Tensor(), need_db ? through(a, false) : Tensor()};
  };
  result.loss = record("cross_correlation", result.loss, {a, b}, backward);
  return result;
}

}  // namespace gestalt
