// GELU in both forms and its derivatives: by definition in f64, as fractions of polynomials in f32.
//
// What multiplies x, and the derivative, are 1/2 + an odd function that is constant far from 0. In f32 that function is
// x·P(x²)/Q(x²), fitted (kernels/gelu_fit.py) for the least greatest error up to a bound and held there: one division
// and no exponential. It is within 3e-7 of the definition, and GELU of a negative x within 7e-7.
#pragma once

#include "kernels/math.h"

namespace gestalt::kernels {

// The polynomial in x whose coefficients follow, the highest first.
template <class... Rest>
GESTALT_HOST_DEVICE float polynomial(float x, float sum, Rest... rest) {
  ((sum = sum * x + rest), ...);
  return sum;
}

// x·Φ(x) with the exact normal distribution.
GESTALT_HOST_DEVICE double gelu(double x) { return 0.5 * x * (1 + std::erf(x * 0.70710678118654752)); }
GESTALT_HOST_DEVICE float gelu(float x) {
  const float near = clamp(x, 5.4f), s = near * near;
  const float p = polynomial(s, 2.33871074e-08f, 6.36000914e-06f, 1.64318088e-04f, 4.65082936e-03f, 3.33718583e-02f,
                             3.98942232e-01f);
  const float q =
      polynomial(s, 1.21660116e-06f, 7.23991034e-05f, 1.85896107e-03f, 2.83784773e-02f, 2.50316948e-01f, 1.0f);
  return (x < near ? near : x) * (0.5f + near * p / q);  // where Φ is 0 but for rounding, no large x multiplies it
}
GESTALT_HOST_DEVICE double gelu_slope(double x) {
  return 0.5 * (1 + std::erf(x * 0.70710678118654752)) + x * 0.39894228040143268 * std::exp(-0.5 * x * x);
}
GESTALT_HOST_DEVICE float gelu_slope(float x) {
  const float near = clamp(x, 5.9f), s = near * near;
  const float p = polynomial(s, 1.92927118e-07f, 3.59558435e-05f, 1.92261032e-05f, 1.42302839e-02f, -3.09955776e-02f,
                             7.97885358e-01f);
  const float q =
      polynomial(s, 8.95235189e-06f, 1.92038133e-04f, 3.52304266e-03f, 4.09803055e-02f, 2.94494390e-01f, 1.0f);
  return 0.5f + near * p / q;
}

// The tanh form.
GESTALT_HOST_DEVICE double gelu_tanh_unit(double x) {
  return std::tanh(0.79788456080286536 * (x + 0.044715 * x * x * x));
}
GESTALT_HOST_DEVICE double gelu_tanh(double x) { return 0.5 * x * (1 + gelu_tanh_unit(x)); }
GESTALT_HOST_DEVICE float gelu_tanh(float x) {
  const float near = clamp(x, 5.0f), s = near * near;
  const float p = polynomial(s, 2.25455210e-08f, 6.87223928e-06f, 1.33639274e-04f, 3.62408813e-03f, 3.05869542e-02f,
                             3.98942322e-01f);
  const float q =
      polynomial(s, 1.26016744e-06f, 7.49885512e-05f, 1.29647483e-03f, 2.44064778e-02f, 2.44162351e-01f, 1.0f);
  return (x < near ? near : x) * (0.5f + near * p / q);
}
GESTALT_HOST_DEVICE double gelu_tanh_slope(double x) {
  const double t = gelu_tanh_unit(x);
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.79788456080286536 * (1 + 3 * 0.044715 * x * x);
}
GESTALT_HOST_DEVICE float gelu_tanh_slope(float x) {
  const float near = clamp(x, 5.5f), s = near * near;
  const float p = polynomial(s, 1.39900953e-08f, 2.04711978e-06f, 1.38298446e-05f, 5.40421635e-04f, 1.06929746e-02f,
                             -6.60040590e-04f, 7.97884345e-01f);
  const float q = polynomial(s, 5.76288073e-07f, 1.12591406e-05f, 2.49853387e-04f, 3.78766889e-03f, 4.86300401e-02f,
                             3.34153235e-01f, 1.0f);
  return 0.5f + near * p / q;
}

}  // namespace gestalt::kernels
