// The built-in shapes: the same every time, different between splits, and not to be told by their pixels.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "engine/data/images/image_set.h"

namespace gestalt::test {
namespace {

bool equal_pixels(const Tensor& a, const Tensor& b) {
  return a.count() == b.count() && std::memcmp(a.in().data, b.in().data, static_cast<size_t>(a.count())) == 0;
}

}  // namespace

TEST_CASE("data: shapes are the same on every opening and thread count") {
  OpenOptions one, four;
  one.threads = 1, four.threads = 4;
  const auto a = open_images("shapes:300", one), b = open_images("shapes:300", four);
  CHECK(equal_pixels(a->pixels(), b->pixels()));
  CHECK(a->labels() == b->labels());
  CHECK(a->size() == 300);
  CHECK(a->class_names().size() == 12);
  OpenOptions test;
  test.split = "test";
  const auto held_out = open_images("shapes:300", test);
  CHECK(held_out->size() == 75);
  CHECK(std::memcmp(a->pixels().in().data, held_out->pixels().in().data, 75 * 3072) != 0);
  OpenOptions other;
  other.seed = 1;
  CHECK_FALSE(equal_pixels(a->pixels(), open_images("shapes:300", other)->pixels()));
}

TEST_CASE("data: shapes come in the size asked for") {
  const auto set = open_images("shapes:12:48");
  CHECK(set->frames()[11].height == 48);
  CHECK(set->pixels().count() == 12 * 48 * 48 * 3);
  for (const char* bad : {"shapes:0", "shapes:9x", "shapes:12:4", "shapes:-5", "shapes:12:48:1"})
    CHECK_THROWS_WITH_AS(open_images(bad), doctest::Contains("COUNT:SIZE"), Error);
}

TEST_CASE("data: raw pixels tell little about the class of a shape") {
  OpenOptions test;
  test.split = "test";
  const auto train = open_images("shapes:2000"), queries = open_images("shapes:2000", test);
  const uint8_t *bank = train->pixels().data<uint8_t>(), *query = queries->pixels().data<uint8_t>();
  int right = 0;
  for (int64_t q = 0; q < 200; ++q) {
    int64_t best = INT64_MAX, at = 0;
    for (int64_t i = 0; i < train->size(); ++i) {
      int32_t distance = 0;
      for (int64_t k = 0; k < 3072; ++k) {
        const int32_t d = bank[i * 3072 + k] - query[q * 3072 + k];
        distance += d * d;
      }
      if (distance < best) best = distance, at = i;
    }
    right += train->labels()[at] == queries->labels()[q];
  }
  MESSAGE("nearest neighbour on raw pixels: ", right / 2.0, " % of 12 classes");
  CHECK(right < 70);  // 35 %
}

}  // namespace gestalt::test
