// Which gradient norms are outliers.
#include "engine/nn/outliers.h"

#include <doctest/doctest.h>

#include <limits>

namespace gestalt::test {

TEST_CASE(
    "outliers: a norm so many deviations over the mean of the last 128, which then counts as the largest usual one") {
  Outliers outliers(4);
  for (int i = 0; i < 128; ++i) CHECK(outliers.usual(i % 2 == 0 ? 1 : 3));  // mean 2, deviation 1
  CHECK(outliers.usual(std::numeric_limits<double>::infinity()));           // said elsewhere, and not remembered
  CHECK_FALSE(outliers.usual(1e9));                                         // 6 takes the place of a 1
  CHECK(outliers.found() == 1);
  // Mean 2 + 5/128 and mean square 5 + 35/128 give a limit of 6.264.
  CHECK(outliers.usual(6.2));
  Outliers again(4);
  again.state().detach().copy_from(outliers.state());
  for (int i = 0; i < 64; ++i) CHECK(again.usual(2));
  CHECK(again.found() == 1);
}

TEST_CASE("outliers: norms that stay large are usual after a while") {
  Outliers outliers(6);
  for (int i = 0; i < 128; ++i) outliers.usual(1 + 0.01 * (i % 3));
  int64_t skipped = 0;
  for (int i = 0; i < 128; ++i) skipped += outliers.usual(10) ? 0 : 1;
  CHECK(skipped == 43);  // each enters as the largest usual one, which the deviation grows by
  CHECK(outliers.found() == skipped);
}

}  // namespace gestalt::test
