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

// A place for what backward multiplies by, in the dtype of `x`: that of the products themselves where they are of it.
Tensor slope_in_place(const Tensor& products, const Tensor& x) {
  return products.dtype() == x.dtype() ? products : Tensor::empty(products.shape(), x.dtype(), x.device());
}

// dloss · scale · x·slope, or x·slopeᵀ, for x (N, D) and slope (D, D).
Tensor scaled_product(const Tensor& x, const Tensor& slope, bool transposed, const Tensor& dloss, double scale) {
  Tensor product = accumulators(x, x.shape()), dx = like(x);
  kernels::launch(kernels::Product{.a = x.in(),
                                   .b = slope.in(),
                                   .bias = {},
                                   .c = product.out(),
                                   .m = x.dim(0),
                                   .n = x.dim(1),
                                   .k = x.dim(1),
                                   .transpose_b = transposed},
                  dloss.stream());
  kernels::launch(kernels::ScaleBy{product.in(), dloss.in(), dx.out(), scale, product.count()}, dloss.stream());
  return dx;
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

Tensor view_distance(const Tensor& z, int64_t views, int64_t centres) {
  check(z.rank() == 2 && views >= 1 && z.count() >= 1 && z.dim(0) % views == 0 && centres >= 1 && centres <= views,
        "[view_distance] got z {}, {} views and a centre of {}, expected (views · N, D) and a centre of 1 to all views",
        z.shape().text(), views, centres);
  Tensor loss = accumulators(z, {1});
  const int64_t count = z.count() / views;
  kernels::launch(kernels::ViewDistance{z.in(), loss.out(), views, centres, count}, z.stream());
  return record("view_distance", loss, {z}, [=, z = z.detach()](const Tensor& dy) -> Grads {
    Tensor dz = like(z);
    kernels::launch(
        kernels::ViewDistanceBackward{
            .z = z.in(), .dloss = dy.in(), .dz = dz.out(), .views = views, .centres = centres, .count = count},
        dy.stream());
    return {dz};
  });
}

Tensor column_deviations(const Tensor& z) {
  check_batch("column_deviations", z);
  const int64_t columns = z.dim(1);
  Tensor mean = accumulators(z, {columns}), std = accumulators(z, {columns}), unused = accumulators(z, {1});
  kernels::launch(kernels::VarianceHinge{.z = z.in(),
                                         .mean = mean.out(),
                                         .std = std.out(),
                                         .loss = unused.out(),
                                         .rows = z.dim(0),
                                         .columns = columns,
                                         .target = 1,
                                         .eps = 1e-4},
                  z.stream());
  return std;
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
  if (recording({z})) off = slope_in_place(products, z);
  kernels::launch(kernels::OffDiagonal{products.in(), off ? off.out() : Out{}, loss.out(), dim, share}, z.stream());
  // ∂/∂z = 4/(D·(N−1)) · centred · (C without its diagonal); its columns have mean 0 as those of `centred` have.
  return record("covariance_loss", loss, {z}, [=](const Tensor& dy) -> Grads {
    return {scaled_product(centred, off, false, dy, 4 * share / static_cast<double>(dim))};
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
  if (recording({a, b})) slope = slope_in_place(products, a);
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
    return {need_da ? scaled_product(b, slope, true, dy, share) : Tensor(),
            need_db ? scaled_product(a, slope, false, dy, share) : Tensor()};
  };
  result.loss = record("cross_correlation", result.loss, {a, b}, backward);
  return result;
}

}  // namespace gestalt
