// Neighbours, duplicates, outliers and choices, on images where the answer is known.
#include "tasks/evaluation/look.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "engine/run/csv.h"
#include "engine/run/files.h"
#include "kernels/philox.h"
#include "tasks/evaluation/likeness.h"
#include "tasks/evaluation/neighbours.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

Image brighter(Image image) {
  for (uint8_t& p : image.pixels) p = static_cast<uint8_t>(std::min(255, p * 11 / 10));
  return image;
}

// Image `image` without `margin` pixels at each edge, enlarged to what it was.
Image cropped(const Image& image, int32_t margin) {
  Image inner{{}, image.height - 2 * margin, image.width - 2 * margin};
  for (int32_t y = margin; y < image.height - margin; ++y)
    for (int32_t x = 3 * margin; x < 3 * (image.width - margin); ++x)
      inner.pixels.push_back(image.pixels[static_cast<size_t>(y * image.width * 3 + x)]);
  return resize_image(inner, {image.height, true});
}

}  // namespace

TEST_CASE("neighbours: the k nearest by cosine, itself left out, as found one by one") {
  Random random(3);
  Tensor rows = random.normal({37, 5}, 0, 1);
  rows.slice(20, 21).copy_from(rows.slice(4, 5));
  const Neighbours nearest = nearest_neighbours(rows, 6);
  REQUIRE(nearest.k == 6);
  const float* x = rows.data<float>();
  for (int64_t i = 0; i < 37; ++i) {
    std::vector<std::pair<double, int64_t>> all;
    for (int64_t j = 0; j < 37; ++j) {
      double product = 0, a = 0, b = 0;
      for (int64_t d = 0; d < 5; ++d)
        product += x[i * 5 + d] * x[j * 5 + d], a += x[i * 5 + d] * x[i * 5 + d], b += x[j * 5 + d] * x[j * 5 + d];
      if (j != i) all.push_back({-product / std::sqrt(a * b), j});
    }
    std::sort(all.begin(), all.end());
    for (int64_t j = 0; j < 6; ++j)
      CHECK(nearest.cosine[i * 6 + j] == doctest::Approx(-all[j].first).epsilon(1e-5).scale(1));
    CHECK(nearest.index[i * 6] == all[0].second);
  }
  CHECK(nearest.index[4 * 6] == 20);
  CHECK(nearest_neighbours(rows.slice(0, 3), 10).k == 2);
}

TEST_CASE("choose: each next one is the farthest from those before") {
  const std::vector<double> degrees{0, 10, 20, 170, 90, 95, 40};
  std::vector<float> points;
  for (double d : degrees)
    for (double v : {std::cos(d * M_PI / 180), std::sin(d * M_PI / 180)}) points.push_back(static_cast<float>(v));
  const Tensor rows = Tensor::from(std::span<const float>(points), {7, 2});
  std::vector<bool> eligible(7, true);
  CHECK(choose_diverse(rows, 4, 0, eligible).rows == std::vector<int32_t>{0, 3, 4, 6});
  eligible[4] = false;
  const Chosen chosen = choose_diverse(rows, 9, 0, eligible);
  CHECK(chosen.rows.size() == 6);
  CHECK(chosen.rows[2] == 5);
  CHECK(chosen.distances[1] == doctest::Approx(1 - std::cos(170 * M_PI / 180)).epsilon(1e-5));
}

TEST_CASE("look: planted copies are found, and no other pair") {
  const TemporaryFolder folder;
  const auto shapes = open_images("shapes:96");
  for (int i = 0; i < 96; ++i) {
    const Image image = shapes->decode(i);
    write_image(fmt::format("{}/in/{:02}.png", folder.path(), i), image);
    const std::string copy = fmt::format("{}/in/copy_{:02}.png", folder.path(), i);
    if (i % 24 == 3) write_image(copy, image);
    if (i % 24 == 7) write_image(copy, brighter(image));
    if (i % 24 == 11) write_image(copy, cropped(image, 2));
  }
  Random random(5);
  EncoderOptions options;
  options.model = "resnet10", options.resnet.width = 8;
  const auto encoder = make_encoder(options, 32, random);
  const AllImages images = open_all_images("images:" + folder / "in", "all", {});
  const LookOptions how{.neighbours = 5, .choose = 12};
  const LookResult result = look(*encoder, images, images, {.size = 32}, how, folder / "out");
  CHECK(result.images == 96 + 12);
  CHECK(result.groups == 12);
  CHECK(std::count_if(result.duplicates.begin(), result.duplicates.end(),
                      [](const DuplicatePair& p) { return p.exact; }) == 4);
  REQUIRE(result.duplicates.size() == 12);
  for (const DuplicatePair& p : result.duplicates) {
    const std::string a = images.set->image_name(p.first), b = images.set->image_name(p.second);
    CAPTURE(a);
    CHECK(b == "copy_" + a);
  }
  const std::string outliers = read_text(folder / "out/outliers.csv");
  std::istringstream lines(outliers);
  std::vector<double> deviations;
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) deviations.push_back(std::stod(split(line, ',').at(3)));
  CHECK(deviations.size() == 108);
  CHECK(std::is_sorted(deviations.rbegin(), deviations.rend()));
  const std::string chosen = read_text(folder / "out/chosen.csv");
  CHECK(std::count(chosen.begin(), chosen.end(), '\n') == 13);
  CHECK(chosen.find("copy_") == std::string::npos);
  const std::string neighbours = read_text(folder / "out/neighbours.csv");
  CHECK(std::count(neighbours.begin(), neighbours.end(), '\n') == 1 + 5 * 108);
  for (const char* sheet : {"neighbours", "duplicates", "outliers", "chosen"})
    CHECK(std::filesystem::exists(folder / fmt::format("out/{}.png", sheet)));
  CHECK_THROWS_WITH_AS(look(*encoder, images, images, {.size = 32}, how, folder / "out"),
                       doctest::Contains("--overwrite"), Error);
}

TEST_CASE("look: planted noise and blank images are the strangest, each by what is strange of it") {
  const TemporaryFolder folder;
  const auto smooth = [](int i) { return resize_image(pattern(4 + i % 3, 4 + i % 3, 7 * i), {32, true}); };
  for (int i = 0; i < 120; ++i) write_image(fmt::format("{}/in/{:03}.png", folder.path(), i), smooth(i));
  for (uint32_t i = 0; i < 5; ++i) {
    Image noise = smooth(0), blank = noise;
    for (size_t p = 0; p < noise.pixels.size(); ++p)
      noise.pixels[p] = static_cast<uint8_t>(draw(1, Use::test, i, static_cast<uint32_t>(p), 0).word[0] & 255);
    std::fill(blank.pixels.begin(), blank.pixels.end(), static_cast<uint8_t>(100 + 7 * i));
    write_image(fmt::format("{}/in/noise_{}.png", folder.path(), i), noise);
    write_image(fmt::format("{}/in/blank_{}.png", folder.path(), i), blank);
  }
  Random random(5);
  EncoderOptions options;
  options.model = "resnet10", options.resnet.width = 8;
  const auto encoder = make_encoder(options, 32, random);
  const AllImages images = open_all_images("images:" + folder / "in", "all", {});
  look(*encoder, images, images, {.size = 32}, {}, folder / "out");
  std::istringstream lines(read_text(folder / "out/outliers.csv"));
  std::string line;
  std::getline(lines, line);
  std::map<std::string, int> found;
  for (int i = 0; i < 10 && std::getline(lines, line); ++i) {
    const std::vector<std::string> cells = split(line, ',');
    ++found[cells[0].substr(0, 5) + " by " + cells[4]];
  }
  CHECK(found["noise by roughness"] == 5);
  CHECK(found["blank by contrast"] == 5);
}

}  // namespace gestalt::test
