// The pointwise formulas and their derivatives, each written once for every dtype, host and device.
#pragma once

#include "kernels/gelu.h"
#include "kernels/math.h"

namespace gestalt::kernels {

// relu: max(x, 0). gelu: x·Φ(x) with the exact normal distribution (Hendrycks and Gimpel 2016). gelu_tanh: the paper's
// tanh form, which GPT-2 uses. sigmoid: 1/(1+e^-x). tanh, exp, square: as named.
enum class Formula { relu, gelu, gelu_tanh, sigmoid, tanh, exp, square };

template <Formula>
struct Apply;

template <>
struct Apply<Formula::relu> {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return x > 0 ? x : A(0);
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    return x > 0 ? A(1) : A(0);
  }
};

template <>
struct Apply<Formula::gelu> {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return gelu(x);
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    return gelu_slope(x);
  }
};

template <>
struct Apply<Formula::gelu_tanh> {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return gelu_tanh(x);
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    return gelu_tanh_slope(x);
  }
};

template <>
struct Apply<Formula::sigmoid> {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return A(1) / (A(1) + fast_exp(-x));
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    const A y = f(x);
    return y * (A(1) - y);
  }
};

template <>
struct Apply<Formula::tanh> {
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

template <>
struct Apply<Formula::exp> {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return fast_exp(x);
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    return fast_exp(x);
  }
};

template <>
struct Apply<Formula::square> {
  template <class A>
  static GESTALT_HOST_DEVICE A f(A x) {
    return x * x;
  }
  template <class A>
  static GESTALT_HOST_DEVICE A df(A x) {
    return A(2) * x;
  }
};

// Calls g(Apply<formula>{}) for a run-time formula.
template <class G>
void dispatch_formula(Formula formula, G&& g) {
  switch (formula) {
    case Formula::relu:
      return g(Apply<Formula::relu>{});
    case Formula::gelu:
      return g(Apply<Formula::gelu>{});
    case Formula::gelu_tanh:
      return g(Apply<Formula::gelu_tanh>{});
    case Formula::sigmoid:
      return g(Apply<Formula::sigmoid>{});
    case Formula::tanh:
      return g(Apply<Formula::tanh>{});
    case Formula::exp:
      return g(Apply<Formula::exp>{});
    case Formula::square:
      return g(Apply<Formula::square>{});
  }
}

}  // namespace gestalt::kernels
