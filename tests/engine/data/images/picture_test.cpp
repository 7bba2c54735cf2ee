// Pictures: normalised values back as bytes, and sheets of tiles with gaps.
#include "engine/data/images/picture.h"

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/check.h"

namespace gestalt::test {

TEST_CASE("display bytes undo the normalisation, are cut to a byte, and black for no number") {
  const Normalisation plain = normalisation("none"), half = normalisation("half");
  CHECK(display_byte(0.5f, 0, plain) == 128);
  CHECK(display_byte(-1, 0, plain) == 0);
  CHECK(display_byte(2, 1, plain) == 255);
  CHECK(display_byte(-1, 2, half) == 0);
  CHECK(display_byte(0, 2, half) == 128);
  CHECK(display_byte(1, 2, half) == 255);
  CHECK(display_byte(NAN, 0, plain) == 0);
}

TEST_CASE("a sheet has tiles in rows of columns, enlarged by a whole factor, with white gaps and a white rest") {
  // Three images of 2 × 40: the first black, the second grey, the third white but for one black pixel.
  std::vector<double> values(3 * 2 * 40 * 3, 1);
  for (size_t i = 0; i < 240; ++i) values[i] = 0, values[240 + i] = 0.5;
  for (size_t c = 0; c < 3; ++c) values[480 + 40 * 3 + c] = 0;  // row 1, column 0
  const Picture sheet = draw_sheet(Tensor::from(values, {3, 2, 40, 3}), 2, normalisation("none"));
  // A tile is 3 · 40 = 120 wide, the least above 96, and 6 high; gaps are 4.
  CHECK(sheet.width == 4 + 2 * 124);
  CHECK(sheet.height == 4 + 2 * 10);
  const auto at = [&](int64_t y, int64_t x) {
    return int{sheet.pixels[static_cast<size_t>((y * sheet.width + x) * 3)]};
  };
  CHECK(at(0, 0) == 255);
  CHECK(at(3, 50) == 255);
  CHECK(at(4, 4) == 0);
  CHECK(at(9, 123) == 0);
  CHECK(at(9, 124) == 255);
  CHECK(at(10, 10) == 255);
  CHECK(at(5, 128) == 128);
  CHECK(at(14 + 3, 4) == 0);  // the black pixel, three by three
  CHECK(at(14 + 5, 6) == 0);
  CHECK(at(14 + 2, 4) == 255);
  CHECK(at(14 + 5, 7) == 255);
  CHECK(at(15, 200) == 255);  // there is no fourth image
  CHECK_THROWS_AS(draw_sheet(Tensor::zeros({2, 2, 3}), 2, normalisation("none")), Error);
  CHECK_THROWS_AS(draw_sheet(Tensor::zeros({1, 2, 2, 3}), 0, normalisation("none")), Error);
}

}  // namespace gestalt::test
