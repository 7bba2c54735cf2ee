// Matrix products and the linear layer with their gradients.
#include "engine/ops/product.h"

#include "engine/autograd.h"
#include "kernels/elementwise.h"
#include "kernels/product.h"

namespace gestalt {
namespace {

// The product of `batch` matrices a_op (m, k) · b_op (k, n) in a tensor of `shape`.
Tensor product(const Tensor& a, bool ta, const Tensor& b, bool tb, const Tensor& bias, const Shape& shape, DType dtype,
               int64_t m, int64_t n, int64_t k, int64_t batch) {
  Tensor c = Tensor::empty(shape, dtype, a.device());
  kernels::launch(kernels::Product{a.in(), b.in(), bias.in(), c.out(), m, n, k, batch, ta, tb}, a.stream());
  return c;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool ta, bool tb) {
  const bool ranks = a.rank() >= 2 && a.rank() == b.rank() && a.dtype() == b.dtype();
  check(ranks, "[matmul] got {} {} and {} {}, expected equal dtypes and ranks of 2 or more", name(a.dtype()),
        a.shape().text(), name(b.dtype()), b.shape().text());
  const int64_t m = a.dim(ta ? -1 : -2), k = a.dim(ta ? -2 : -1), n = b.dim(tb ? -2 : -1);
  bool match = k == b.dim(tb ? -1 : -2);
  for (int i = 0; i < a.rank() - 2; ++i) match = match && a.dim(i) == b.dim(i);
  check(match, "[matmul] got {}{} times {}{}", a.shape().text(), ta ? " transposed" : "", b.shape().text(),
        tb ? " transposed" : "");
  const int64_t batch = m * k > 0 ? a.count() / (m * k) : 0;
  const Tensor y = product(a, ta, b, tb, {}, a.shape().with(-2, m).with(-1, n), a.dtype(), m, n, k, batch);
  return record("matmul", y, {a, b}, [a, b, ta, tb, m, n, k, batch](const Tensor& dy) -> Grads {
    Tensor da, db;
    // With C = A·B: dA = dC·Bᵀ and dB = Aᵀ·dC; a stored transpose exchanges the factors.
    if (a.requires_grad())
      da = ta ? product(b, tb, dy, true, {}, a.shape(), a.dtype(), k, m, n, batch)
              : product(dy, false, b, !tb, {}, a.shape(), a.dtype(), m, k, n, batch);
    if (b.requires_grad())
      db = tb ? product(dy, true, a, ta, {}, b.shape(), b.dtype(), n, k, m, batch)
              : product(a, !ta, dy, false, {}, b.shape(), b.dtype(), k, n, m, batch);
    return {da, db};
  });
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(x.rank() >= 1 && weight.rank() == 2 && x.dim(-1) == weight.dim(1),
        "[linear] got x {} and weight {}, expected (…, I) and (O, I)", x.shape().text(), weight.shape().text());
  check(!bias || bias.shape() == Shape{weight.dim(0)}, "[linear] got bias {}, expected ({})",
        bias ? bias.shape().text() : "", weight.dim(0));
  const int64_t k = x.dim(-1), n = weight.dim(0), m = k > 0 ? x.count() / k : 0;
  const Tensor operand = weight.as_operand(x.dtype());
  const Tensor y = product(x, false, operand, true, bias, x.shape().with(-1, n), x.dtype(), m, n, k, 1);
  std::vector<Tensor> inputs{x, weight};
  if (bias) inputs.push_back(bias);
  return record("linear", y, inputs,
                [x = x.detach(), weight, operand, bias, m, n, k, need_dx = x.requires_grad()](const Tensor& dy) -> Grads {
    Grads grads(bias ? 3 : 2);
    if (need_dx) grads[0] = product(dy, false, operand, false, {}, x.shape(), x.dtype(), m, k, n, 1);
    if (weight.requires_grad())
      grads[1] = product(dy, true, x, false, {}, weight.shape(), weight.dtype(), n, k, m, 1);
    if (bias && bias.requires_grad()) {
      grads[2] = Tensor::empty(bias.shape(), bias.dtype(), bias.device());
      kernels::launch(kernels::ColumnSum{dy.in(), grads[2].out(), m, n}, dy.stream());
    }
    return grads;
  });
}

}  // namespace gestalt
