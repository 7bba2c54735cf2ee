// Matrix products and the linear layer with their gradients.
#include "engine/ops/product.h"

#include "engine/tensor/autograd.h"
#include "kernels/elementwise.h"
#include "kernels/product.h"

namespace gestalt {
namespace {

// The product of `batch` matrices a_op (m, k) · b_op (k, n), in c.
Tensor product_in(Tensor c, const Tensor& a, bool ta, const Tensor& b, bool tb, int64_t m, int64_t n, int64_t k,
                  int64_t batch) {
  kernels::launch(kernels::Product{.a = a.in(),
                                   .b = b.in(),
                                   .bias = {},
                                   .c = c.out(),
                                   .m = m,
                                   .n = n,
                                   .k = k,
                                   .batch = batch,
                                   .transpose_a = ta,
                                   .transpose_b = tb},
                  a.stream());
  return c;
}

// The same in a new tensor of `shape`.
Tensor product(const Tensor& a, bool ta, const Tensor& b, bool tb, const Shape& shape, DType dtype, int64_t m,
               int64_t n, int64_t k, int64_t batch) {
  return product_in(Tensor::empty(shape, dtype, a.device()), a, ta, b, tb, m, n, k, batch);
}

// A linear layer on x (m, k): its operands, and its gradients from that of its result (m, n).
struct Affine {
  Affine(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias)
      : x(x.detach()), weight(weight), bias(bias), need_dx(x.requires_grad()) {
    check(x.rank() >= 1 && weight.rank() == 2 && x.dim(-1) == weight.dim(1),
          "[{}] got x {} and weight {}, expected (…, I) and (O, I)", op, x.shape().text(), weight.shape().text());
    check(!bias || bias.shape() == Shape{weight.dim(0)}, "[{}] got bias {}, expected ({})", op,
          bias ? bias.shape().text() : "", weight.dim(0));
    operand = weight.as_operand(x.dtype());
    k = x.dim(-1), n = weight.dim(0), m = k > 0 ? x.count() / k : 0;
  }
  // x·weightᵀ + bias, and where `gelu` is given, GELU of it there.
  Tensor forward(Tensor gelu = {}) const {
    Tensor y = Tensor::empty(x.shape().with(-1, n), x.dtype(), x.device());
    kernels::launch(kernels::Product{.a = x.in(),
                                     .b = operand.in(),
                                     .bias = bias.in(),
                                     .c = y.out(),
                                     .m = m,
                                     .n = n,
                                     .k = k,
                                     .batch = 1,
                                     .transpose_a = false,
                                     .transpose_b = true,
                                     .gelu = gelu.out(),
                                     .rounded_bias = bias ? bias.shadow().in() : In{}},
                    x.stream());
    return y;
  }
  // `dbias`: the bias' gradient, if it is there already.
  Grads gradients(const Tensor& dy, const Tensor& dbias = {}) const {
    Grads grads(bias ? 3 : 2);
    if (need_dx) grads[0] = product(dy, false, operand, false, x.shape(), x.dtype(), m, k, n, 1);
    if (weight.requires_grad()) grads[1] = product_in(gradient_memory(weight), dy, true, x, false, n, k, m, 1);
    if (dbias) grads[2] = dbias;
    if (!dbias && bias && bias.requires_grad()) {
      grads[2] = gradient_memory(bias);
      kernels::launch(kernels::ColumnSum{dy.in(), grads[2].out(), m, n}, dy.stream());
    }
    return grads;
  }
  // The same where dy is that of formula(h), h being the layer's result.
  Grads gradients(const Tensor& dy, const Tensor& h, const kernels::Formula& formula) const {
    Tensor dh = Tensor::empty(h.shape(), h.dtype(), h.device()), dbias;
    if (bias && bias.requires_grad()) {
      dbias = gradient_memory(bias);
      kernels::launch(kernels::PointwiseBackwardSums{h.in(), dy.in(), dh.out(), dbias.out(), formula, m, n},
                      dy.stream());
    } else {
      kernels::launch(kernels::PointwiseBackward{h.in(), dy.in(), dh.out(), formula, h.count()}, dy.stream());
    }
    return gradients(dh, dbias);
  }
  Tensor x, weight, operand, bias;
  int64_t m, n, k;
  bool need_dx;
};

std::vector<Tensor> inputs_of(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return bias ? std::vector{x, weight, bias} : std::vector{x, weight};
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
  const Tensor y = product(a, ta, b, tb, a.shape().with(-2, m).with(-1, n), a.dtype(), m, n, k, batch);
  return record("matmul", y, {a, b}, [a, b, ta, tb, m, n, k, batch](const Tensor& dy) -> Grads {
    Tensor da, db;
    // With C = A·B: dA = dC·Bᵀ and dB = Aᵀ·dC; a stored transpose exchanges the factors.
    if (a.requires_grad())
      da = ta ? product(b, tb, dy, true, a.shape(), a.dtype(), k, m, n, batch)
              : product(dy, false, b, !tb, a.shape(), a.dtype(), m, k, n, batch);
    if (b.requires_grad())
      db = tb ? product(dy, true, a, ta, b.shape(), b.dtype(), n, k, m, batch)
              : product(a, !ta, dy, false, b.shape(), b.dtype(), k, n, m, batch);
    return {da, db};
  });
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Affine f("linear", x, weight, bias);
  return record("linear", f.forward(), inputs_of(x, weight, bias), [f](const Tensor& dy) { return f.gradients(dy); });
}

Tensor linear_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Affine f("linear_gelu", x, weight, bias);
  const Tensor h = f.forward();  // (…, O), before the GELU
  Tensor y = Tensor::empty(h.shape(), h.dtype(), h.device());
  kernels::launch(kernels::Pointwise{h.in(), y.out(), kernels::Gelu{}, h.count()}, h.stream());
  return record("linear_gelu", y, inputs_of(x, weight, bias),
                [f, h](const Tensor& dy) { return f.gradients(dy, h, kernels::Gelu{}); });
}

Tensor linear_gelu_tanh(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Affine f("linear_gelu_tanh", x, weight, bias);
  Tensor y = Tensor::empty(x.shape().with(-1, f.n), x.dtype(), x.device());
  const Tensor h = f.forward(y);
  return record("linear_gelu_tanh", y, inputs_of(x, weight, bias),
                [f, h](const Tensor& dy) { return f.gradients(dy, h, kernels::GeluTanh{}); });
}

}  // namespace gestalt
