// Element-by-element ops and sums with their gradients.
#include "engine/ops/pointwise.h"

#include "engine/tensor/autograd.h"
#include "kernels/elementwise.h"

namespace gestalt {
namespace {

void check_pair(const char* op, const Tensor& a, const Tensor& b) {
  check(a.shape() == b.shape() && a.dtype() == b.dtype(), "[{}] got {} {} and {} {}, expected equal shapes and dtypes",
        op, name(a.dtype()), a.shape().text(), name(b.dtype()), b.shape().text());
}

Tensor like(const Tensor& x) { return Tensor::empty(x.shape(), x.dtype(), x.device()); }

Tensor combine(const Tensor& a, const Tensor& b, double sa, double sb) {
  Tensor y = like(a);
  kernels::launch(
      kernels::Combine{.a = a.in(), .b = b.in(), .y = y.out(), .a_scale = sa, .b_scale = sb, .count = a.count()},
      a.stream());
  return y;
}

Tensor product(const Tensor& a, const Tensor& b) {
  Tensor y = like(a);
  kernels::launch(kernels::Multiply{a.in(), b.in(), y.out(), a.count()}, a.stream());
  return y;
}

Tensor scaled(const Tensor& x, double factor) { return combine(x, x, factor, 0); }

Tensor pointwise(const char* op, const Tensor& x, kernels::Formula formula) {
  Tensor y = like(x);
  kernels::launch(kernels::Pointwise{x.in(), y.out(), formula, x.count()}, x.stream());
  return record(op, y, {x}, [x = x.detach(), formula](const Tensor& dy) -> Grads {
    Tensor dx = like(x);
    kernels::launch(kernels::PointwiseBackward{x.in(), dy.in(), dx.out(), formula, x.count()}, x.stream());
    return {dx};
  });
}

Tensor scaled_sum(const char* op, const Tensor& x, double factor) {
  Tensor y = Tensor::empty({1}, accumulator_of(x.dtype()), x.device());
  kernels::launch(kernels::Sum{x.in(), y.out(), factor, x.count()}, x.stream());
  return record(op, y, {x}, [shape = x.shape(), dtype = x.dtype(), factor](const Tensor& dy) -> Grads {
    const Tensor slope = scaled(dy, factor);
    Tensor dx = Tensor::zeros(shape, dtype, dy.device());
    kernels::launch(kernels::AddRow{dx.in(), slope.in(), dx.out(), dx.count(), 1}, dy.stream());
    return {dx};
  });
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  check_pair("add", a, b);
  return record("add", combine(a, b, 1, 1), {a, b}, [](const Tensor& dy) -> Grads { return {dy, dy}; });
}

Tensor subtract(const Tensor& a, const Tensor& b) {
  check_pair("subtract", a, b);
  return record("subtract", combine(a, b, 1, -1), {a, b}, [](const Tensor& dy) -> Grads {
    return {dy, scaled(dy, -1)};
  });
}

Tensor multiply(const Tensor& a, const Tensor& b) {
  check_pair("multiply", a, b);
  return record("multiply", product(a, b), {a, b}, [a = a.detach(), b = b.detach()](const Tensor& dy) -> Grads {
    return {product(dy, b), product(dy, a)};
  });
}

Tensor scale(const Tensor& x, double factor) {
  return record("scale", scaled(x, factor), {x}, [factor](const Tensor& dy) -> Grads { return {scaled(dy, factor)}; });
}

Tensor add_row(const Tensor& x, const Tensor& row) {
  check(x.rank() >= 1 && row.shape() == Shape{x.dim(-1)} && row.dtype() == accumulator_of(x.dtype()),
        "[add_row] got x {} and row {} {}, expected (…, D) and {} (D)", x.shape().text(), name(row.dtype()),
        row.shape().text(), name(accumulator_of(x.dtype())));
  const int64_t columns = x.dim(-1), rows = columns ? x.count() / columns : 0;
  Tensor y = like(x);
  kernels::launch(kernels::AddRow{x.in(), row.in(), y.out(), rows, columns}, x.stream());
  return record("add_row", y, {x, row}, [row, rows, columns](const Tensor& dy) -> Grads {
    if (!row.requires_grad()) return {dy, {}};
    Tensor drow = gradient_memory(row);
    kernels::launch(kernels::ColumnSum{dy.in(), drow.out(), rows, columns}, dy.stream());
    return {dy, drow};
  });
}

Tensor relu(const Tensor& x) { return pointwise("relu", x, kernels::Relu{}); }
Tensor leaky_relu(const Tensor& x, double slope) { return pointwise("leaky_relu", x, kernels::LeakyRelu{slope}); }
Tensor gelu(const Tensor& x) { return pointwise("gelu", x, kernels::Gelu{}); }
Tensor gelu_tanh(const Tensor& x) { return pointwise("gelu_tanh", x, kernels::GeluTanh{}); }
Tensor tanh(const Tensor& x) { return pointwise("tanh", x, kernels::Tanh{}); }
Tensor softplus(const Tensor& x) { return pointwise("softplus", x, kernels::Softplus{}); }

Tensor sum(const Tensor& x) { return scaled_sum("sum", x, 1); }
Tensor mean(const Tensor& x) { return scaled_sum("mean", x, 1.0 / static_cast<double>(x.count())); }

}  // namespace gestalt
