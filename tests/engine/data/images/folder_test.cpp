// `images:`: what counts as an image, which folders are labels and splits, and the report of damage.
#include <doctest/doctest.h>

#include "engine/data/images/image_set.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

std::shared_ptr<ImageSet> open_tree(const std::string& dir, const char* split = "train", bool hold_out = false) {
  OpenOptions options;
  options.split = split, options.hold_out = hold_out, options.damage_limit = 0.5;
  return open_images("images:" + dir, options);
}

void write_images(const std::string& dir, int count, int from = 0) {
  for (int i = from; i < from + count; ++i) write_image(fmt::format("{}/{:03}.png", dir, i), pattern(6, 6 + i % 2, i));
}

}  // namespace

TEST_CASE("data: first-level folders with images are the labels") {
  const TemporaryFolder folder;
  write_images(folder / "cats", 2);
  write_images(folder / "dogs/deep/er", 3);
  write(folder / "docs/readme.txt", std::string("no image"));
  write(folder / ".hidden/x.png", std::string("not looked at"));
  write(folder / "dogs/UPPER.JPEG", jpeg(pattern(7, 7)));
  const auto set = open_tree(folder.path());
  CHECK(set->class_names() == std::vector<std::string>{"cats", "dogs"});
  CHECK(set->labels() == std::vector<int32_t>{0, 0, 1, 1, 1, 1});
  const DamageReport report = set->damage();
  CHECK(report.damaged.empty());
  REQUIRE(report.not_image_count == 1);
  CHECK(report.not_images[0].file == "docs/readme.txt");
}

TEST_CASE("data: a flat folder, and one with images beside its folders, are unlabelled") {
  const TemporaryFolder folder;
  write_images(folder / "flat", 5);
  CHECK(open_tree(folder / "flat")->labels().empty());
  CHECK(open_tree(folder / "flat")->class_names().empty());
  write_images(folder / "flat/below", 5);
  const auto mixed = open_tree(folder / "flat");
  CHECK(mixed->size() == 10);
  CHECK(mixed->labels().empty());
  CHECK(mixed->describe().find("beside its folders") != std::string::npos);
}

TEST_CASE("data: train and val folders are the splits, and share their class numbers") {
  const TemporaryFolder folder;
  for (const char* name : {"ant", "bee", "cow"}) write_images(folder / fmt::format("train/{}", name), 2);
  write_images(folder / "val/cow", 3);
  CHECK(open_tree(folder.path())->size() == 6);
  CHECK(open_tree(folder.path(), "pretrain")->size() == 6);
  const auto test = open_tree(folder.path(), "test");
  CHECK(test->labels() == std::vector<int32_t>{2, 2, 2});
  CHECK(test->class_names().size() == 3);
}

TEST_CASE("data: without split folders, every 10th image of a class can be held out") {
  const TemporaryFolder folder;
  write_images(folder / "a", 20);
  write_images(folder / "b", 15);
  CHECK(open_tree(folder.path())->size() == 35);
  const auto train = open_tree(folder.path(), "train", true), test = open_tree(folder.path(), "test", true);
  CHECK(train->size() == 32);
  CHECK(test->labels() == std::vector<int32_t>{0, 0, 1});
  CHECK(test->decode(0).pixels == pattern(6, 7, 9).pixels);
  CHECK(train->decode(9).pixels == pattern(6, 6, 10).pixels);
}

TEST_CASE("data: damaged files are left out of a resident set and named") {
  const TemporaryFolder folder;
  write_images(folder / "a", 4);
  write_images(folder / "b", 4);
  write(folder / "a/001.png", std::string());
  write(folder / "b/000.png", std::string("text"));
  Bytes half = jpeg(pattern(40, 40));
  half.resize(half.size() / 2);
  write(folder / "b/half.jpg", half);
  const auto set = open_tree(folder.path());
  REQUIRE(set->resident());
  CHECK(set->size() == 6);
  CHECK(set->labels() == std::vector<int32_t>{0, 0, 0, 1, 1, 1});
  CHECK(set->decode(1).pixels == pattern(6, 6, 2).pixels);
  CHECK(set->decode(5).pixels == pattern(6, 7, 3).pixels);
  const DamageReport report = set->damage();
  REQUIRE(report.damaged.size() == 3);
  CHECK(report.damaged[0].file == "a/001.png");
  CHECK(report.damaged[0].reason == "is empty");
  CHECK(report.damaged[2].file == "b/half.jpg");
  CHECK(report.text().find("3 damaged") == 0);
  CHECK_THROWS_WITH_AS(open_images("images:" + folder.path()), doctest::Contains("b/half.jpg"), Error);
}

TEST_CASE("data: images are shrunk to the side asked for, never enlarged") {
  const TemporaryFolder folder;
  write_image(folder / "large.png", pattern(30, 60));
  write_image(folder / "small.png", pattern(8, 9));
  OpenOptions options;
  options.decode_size = 10;
  for (int64_t budget : {int64_t{0}, int64_t{1} << 20}) {
    options.resident_bytes = budget;
    const auto set = open_images("images:" + folder.path(), options);
    CHECK(set->resident() == (budget > 0));
    CHECK(set->decode(0).height == 10);
    CHECK(set->decode(0).width == 20);
    CHECK(set->decode(1).width == 9);
  }
}

TEST_CASE("data: links that lead back to their folder are followed once") {
  const TemporaryFolder folder;
  write_images(folder / "a", 2);
  std::filesystem::create_directory_symlink(folder.path(), folder / "a/back");
  CHECK(open_tree(folder.path())->size() == 2);
}

TEST_CASE("data: a folder without images is refused") {
  const TemporaryFolder folder;
  write(folder / "a.txt", std::string("x"));
  CHECK_THROWS_WITH_AS(open_tree(folder.path()), doctest::Contains("holds no .jpg"), Error);
}

}  // namespace gestalt::test
