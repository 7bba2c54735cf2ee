// The straight-line exp, log, log(1 + x) and tanh beside the library's in f64, over their whole ranges.
#include "kernels/math.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include "kernels/philox.h"

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

TEST_CASE("log and the cosine of turns in f64 are right to a few units in the last place") {
  double log_worst = 0, cosine_worst = 0;
  for (uint64_t i = 0; i < 200000; ++i) {
    const Philox4 r = draw(1, Use::test, i, 0, 0);
    const double v = (r.word[0] + 0.5) * 0x1p-32,
                 x = std::ldexp(0.5 + v / 2, static_cast<int>(r.word[1] % 2000) - 1000);
    const double log_right = std::log(x), near = std::max(std::fabs(log_right), 0x1p-30);
    log_worst = std::max(log_worst, std::fabs(fast_log(x) - log_right) / (near * 0x1p-53));
    // Of the rest of a quarter, which is exact: 2π·v has lost it where the cosine is small.
    const double quarter = std::nearbyint(4 * v);
    const long double rest = (4 * v - quarter) * std::numbers::pi_v<long double> / 2;
    const long double size = std::fmod(quarter, 2) == 1 ? std::sin(rest) : std::cos(rest);
    const long double right = quarter == 1 || quarter == 2 ? -size : size;
    cosine_worst = std::max(cosine_worst, static_cast<double>(std::fabs((cos_of_turns(v) - right) / right)) * 0x1p53);
  }
  CHECK(log_worst < 4);
  CHECK(cosine_worst < 4);
  CHECK(fast_log(1.0) == 0);
  CHECK(cos_of_turns(0) == 1);
  CHECK(cos_of_turns(0.25) == 0);
  CHECK(cos_of_turns(0.5) == -1);
  CHECK(cos_of_turns(1) == 1);
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
