// The pointwise formulas and their derivatives, each written once for every dtype, host and device.
#pragma once

#include <variant>

#include "kernels/gelu.h"
#include "kernels/math.h"

namespace gestalt::kernels {

// max(x, 0).
struct Relu {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return x > 0 ? x : A(0);
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    return x > 0 ? A(1) : A(0);
  }
};

// x above 0, slope·x below (Maas et al. 2013).
struct LeakyRelu {
  double slope;

  template <class A>
  GESTALT_HOST_DEVICE A f(A x) const {
    return df(x) * x;
  }
  template <class A>
  GESTALT_HOST_DEVICE A df(A x) const {
    const A below = static_cast<A>(slope);  // not in a branch, or compilers convert element by element
    return x > 0 ? A(1) : below;
  }
};

// x·Φ(x) with the exact normal distribution (Hendrycks and Gimpel 2016).
struct Gelu {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return gelu(x);
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    return gelu_slope(x);
  }
};

// The paper's tanh form, which GPT-2 uses.
struct GeluTanh {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return gelu_tanh(x);
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    return gelu_tanh_slope(x);
  }
};

struct Tanh {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return fast_tanh(x);
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    const A y = fast_tanh(x);
    return A(1) - y * y;
  }
};

// log(1 + e^x), whose derivative is the logistic function. The exponent is never positive, so nothing overflows.
struct Softplus {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return (x > 0 ? x : A(0)) + fast_log1p(fast_exp(-std::fabs(x)));
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    const A e = fast_exp(-std::fabs(x));
    return (x > 0 ? A(1) : e) / (A(1) + e);
  }
};

// All formulas: a kernel's field holds one of them, and std::visit hands its type to the code of a backend.
using Formula = std::variant<Relu, LeakyRelu, Gelu, GeluTanh, Tanh, Softplus>;

}  // namespace gestalt::kernels
