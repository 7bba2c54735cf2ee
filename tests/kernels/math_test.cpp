// The straight-line exp, log, log(1 + x) and tanh beside the library's in f64, over their whole ranges.
#include "kernels/math.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace gestalt::test {
namespace {

// The largest distance of `ours` from `exact`, in units of the last place of a float, over every 997th float from `low`
// to `high`.
template <class Ours, class Exact>
double worst_ulps(float low, float high, Ours ours, Exact exact) {
  double worst = 0;
  for (uint32_t bits = std::bit_cast<uint32_t>(low); bits <= std::bit_cast<uint32_t>(high); bits += 997) {
    const float x = std::bit_cast<float>(bits);
    const double right = exact(static_cast<double>(x));
    const float near = std::fabs(static_cast<float>(right));
    const double ulp =
        static_cast<double>(std::nextafter(near, std::numeric_limits<float>::max())) - static_cast<double>(near);
    worst = std::max(worst, std::fabs(static_cast<double>(ours(x)) - right) / ulp);
  }
  return worst;
}

TEST_CASE("exp, log, log(1 + x) and tanh are right to a few units in the last place") {
  const float least = std::numeric_limits<float>::min(), most = std::numeric_limits<float>::max();
  CHECK(worst_ulps(
            least, 88, [](float x) { return fast_exp(x); }, [](double x) { return std::exp(x); }) < 2);
  CHECK(worst_ulps(
            least, 87, [](float x) { return fast_exp(-x); }, [](double x) { return std::exp(-x); }) < 2);
  CHECK(worst_ulps(
            least, most, [](float x) { return fast_log(x); }, [](double x) { return std::log(x); }) < 2);
  CHECK(worst_ulps(
            least, 1, [](float x) { return fast_log1p(x); }, [](double x) { return std::log1p(x); }) < 2);
  CHECK(worst_ulps(
            0.01f, 20, [](float x) { return fast_tanh(x); }, [](double x) { return std::tanh(x); }) < 20);
}

TEST_CASE("at the ends of their ranges they are finite, and NaN stays NaN") {
  const float endless = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(fast_exp(0.0f) == 1);
  CHECK(fast_exp(-endless) == 0);
  CHECK(fast_exp(-100.0f) == 0);
  CHECK(std::isfinite(fast_exp(endless)));
  CHECK(fast_log(1.0f) == 0);
  CHECK(0 * fast_log(0.0f) == 0);
  CHECK(fast_tanh(endless) == 1);
  CHECK(fast_tanh(-endless) == -1);
  CHECK(std::isnan(fast_exp(nan)));
  CHECK(std::isnan(fast_tanh(nan)));
}

}  // namespace
}  // namespace gestalt::test
