// `images:`: what counts as an image, which folders are labels and splits, and the report of damage.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include "engine/data/images/image_set.h"
#include "engine/data/images/splits.h"
#include "engine/data/images/subset.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/golden/data.h"
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

TEST_CASE("data: the usual names of splits are splits, in any case of letters") {
  for (const char* name : {"val", "Validation", "valid", "TEST", "testing", "eval", "dev"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    for (const char* kind : {"a", "b"}) {
      write_images(folder / fmt::format("Train/{}", kind), 3);
      write_images(folder / fmt::format("{}/{}", name, kind), 2, 50);
    }
    const auto train = open_tree(folder.path(), "train", true), test = open_tree(folder.path(), "test", true);
    CHECK(train->class_names() == std::vector<std::string>{"a", "b"});
    CHECK(train->size() == 6);
    CHECK(test->labels() == std::vector<int32_t>{0, 0, 1, 1});
    CHECK(train->describe().find(fmt::format("the splits are Train/ and {}/", name)) != std::string::npos);
  }
}

TEST_CASE("data: a lone train folder is the split, and folders that only wrap others are looked through") {
  const TemporaryFolder folder;
  write_images(folder / "archive/data/train/a", 20);
  write_images(folder / "archive/data/train/b", 20);
  write(folder / "archive/readme.txt", std::string("x"));
  const auto train = open_tree(folder.path() + "//", "train", true), test = open_tree(folder.path(), "test", true);
  CHECK(train->damage().not_images.at(0).file == "readme.txt");
  CHECK(train->class_names() == std::vector<std::string>{"a", "b"});
  CHECK(train->size() == 36);
  CHECK(test->labels() == std::vector<int32_t>{0, 0, 1, 1});
  CHECK(train->describe().find("archive/ is looked through") != std::string::npos);
  write_images(folder / "archive/data/Validation/images/a", 2);
  write_images(folder / "archive/data/Validation/images/b", 2);
  CHECK(open_tree(folder.path(), "test")->labels() == std::vector<int32_t>{0, 0, 1, 1});
}

TEST_CASE("data: names of splits with more in them are splits, where both say the same") {
  struct Pair {
    const char *train, *test;
  };
  const Pair pairs[] = {{"training_set", "test_set"},
                        {"train2017", "val2017"},
                        {"seg_train", "seg_test"},
                        {"Train Images", "Test Images"},
                        {"trainset", "testset"},
                        {"trainval", "test"},
                        {"fruits-360_Training", "fruits-360_Test"},
                        {"train", "test1"}};
  for (const Pair& pair : pairs) {
    CAPTURE(pair.train);
    const TemporaryFolder folder;
    for (const char* kind : {"a", "b"}) {
      write_images(folder / fmt::format("{0}/{0}/{1}", pair.train, kind), 3);
      write_images(folder / fmt::format("{}/{}", pair.test, kind), 2, 50);
    }
    CHECK(open_tree(folder.path(), "train", true)->size() == 6);
    CHECK(open_tree(folder.path(), "test", true)->labels() == std::vector<int32_t>{0, 0, 1, 1});
  }
  const TemporaryFolder folder;
  for (const char* name : {"test_1", "test_2", "test_3"}) write_images(folder / fmt::format("runs/{}", name), 2);
  for (const char* name : {"bus_train", "car_test"}) write_images(folder / fmt::format("others/{}", name), 2);
  CHECK(open_tree(folder / "runs")->class_names().size() == 3);
  CHECK(open_tree(folder / "others")->class_names().size() == 2);
}

TEST_CASE("data: a class of the test split alone is named") {
  const TemporaryFolder folder;
  for (const char* name : {"train/a", "train/b", "val/a", "val/c"}) write_images(folder / name, 2);
  CHECK(open_tree(folder.path())->describe().find("in val/ alone, so never learned: c") != std::string::npos);
}

TEST_CASE("data: what systems lay beside people's files is not looked at") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b", "__MACOSX/a", "a/@eaDir/x", ".git"}) write_images(folder / name, 2);
  const auto set = open_tree(folder.path());
  CHECK(set->class_names() == std::vector<std::string>{"a", "b"});
  CHECK(set->size() == 4);
}

TEST_CASE("data: a folder named train among others is a class") {
  const TemporaryFolder folder;
  for (const char* name : {"bus", "car", "train"}) write_images(folder / name, 2);
  CHECK(open_tree(folder.path())->class_names() == std::vector<std::string>{"bus", "car", "train"});
}

TEST_CASE("data: of several test splits the labelled one is taken; one without classes of train is unlabelled") {
  const TemporaryFolder folder;
  write_images(folder / "train/a", 3);
  write_images(folder / "train/b", 3);
  write_images(folder / "test/unknown", 4);
  CHECK(open_tree(folder.path(), "test")->labels().empty());
  const ImageSplits unlabelled = open_splits("images:" + folder.path(), 0);
  CHECK(unlabelled.pretrain->labels().size() == 6);
  CHECK_FALSE(unlabelled.labelled());
  CHECK(unlabelled.unmeasured.find("is unlabelled") != std::string::npos);
  write_images(folder / "val/b", 2);
  CHECK(open_tree(folder.path(), "test")->labels() == std::vector<int32_t>{1, 1});
  CHECK(open_tree(folder.path())->describe().find("not used: test/") != std::string::npos);
  CHECK(open_splits("images:" + folder.path(), 0).labelled());
}

TEST_CASE("data: of a class of fewer than ten images the last is held out, of a single image none") {
  const TemporaryFolder folder;
  for (int person = 0; person < 7; ++person) write_images(folder / fmt::format("p{}", person), person == 0 ? 1 : 5);
  const ImageSplits splits = open_splits("images:" + folder.path(), 0);
  CHECK(splits.pretrain->size() == 25);
  CHECK(splits.test->labels() == std::vector<int32_t>{1, 2, 3, 4, 5, 6});
  CHECK(splits.test->decode(0).pixels == pattern(6, 6, 4).pixels);
}

TEST_CASE("data: what is measured on is decoded as evaluations decode it, not as views are drawn from it") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"})
    for (int i = 0; i < 10; ++i) write(folder / fmt::format("{}/{}.jpg", name, i), jpeg(pattern(100, 140, 7 * i)));
  const std::string spec = "images:" + folder.path();
  const ImageSplits splits = open_splits(spec, 24);
  OpenOptions options = centre_views(24);
  options.hold_out = true;
  const auto bank = open_images(spec, options);
  options.split = "test";
  const auto test = open_images(spec, options);
  REQUIRE(splits.bank()->size() == bank->size());
  REQUIRE(splits.test->size() == test->size());
  for (int64_t i = 0; i < bank->size(); ++i) CHECK(splits.bank()->decode(i).pixels == bank->decode(i).pixels);
  for (int64_t i = 0; i < test->size(); ++i) CHECK(splits.test->decode(i).pixels == test->decode(i).pixels);
  CHECK(splits.bank()->labels() == splits.train->labels());
  CHECK(splits.train->decode(0).height > 24);  // views are cut from what is left of it
}

TEST_CASE("data: without two classes, or two images of one, no accuracy is measured") {
  const TemporaryFolder folder;
  write_images(folder / "single/train/a", 12);
  write_images(folder / "single/val/a", 12);
  const ImageSplits single = open_splits("images:" + (folder / "single"), 0);
  CHECK_FALSE(single.labelled());
  CHECK(single.unmeasured.find("one class only, 'a'") != std::string::npos);
  CHECK_THROWS_AS(check_measurable(*single.pretrain, single.pretrain.get()), Error);
  for (const char* name : {"a", "b", "c"}) write_images(folder / fmt::format("few/{}", name), 1);
  const ImageSplits few = open_splits("images:" + (folder / "few"), 0);
  CHECK(few.pretrain->size() == 3);
  CHECK_FALSE(few.labelled());
  CHECK_THROWS_WITH_AS(open_tree(folder / "few", "test"), doctest::Contains("no two images of a class"), EmptySplit);
  CHECK(open_tree(folder / "few/a")->labels().empty());
}

TEST_CASE("data: pipes and devices with an image's name are not opened") {
  const TemporaryFolder folder;
  write_images(folder / "a.png", 2);  // a folder of that name
  REQUIRE(mkfifo((folder / "pipe.jpg").c_str(), 0600) == 0);
  std::filesystem::create_symlink("/dev/zero", folder / "zero.png");
  const auto set = open_tree(folder.path());
  CHECK(set->size() == 2);
  CHECK(set->damage().not_image_count == 2);
  CHECK(set->damage().not_images[0].reason.find("not opened") != std::string::npos);
}

TEST_CASE("data: names that are no UTF-8 are names") {
  const TemporaryFolder folder;
  write_images(folder / "caf\xe9/\xff", 3);
  write_images(folder / "caf\xe9/b", 3);
  const auto set = open_tree(folder / "caf\xe9");
  CHECK(set->class_names() == std::vector<std::string>{"b", "\xff"});
  CHECK(set->size() == 6);
}

TEST_CASE("data: squares are cut as they are decoded, and packed so") {
  const TemporaryFolder folder;
  write_image(folder / "in/x.png", pattern(23, 40));
  for (int32_t side : {10, 21}) {
    const auto set = open_images("images:" + (folder / "in"), {.decode_size = side, .decode_crop = true});
    write_packed(*set, folder / "x.packed", side);
    const Image packed = open_images("packed:" + (folder / "x.packed"))->decode(0);
    const uint8_t* expected = side == 10 ? golden::resize_crop : golden::resize_crop_large;
    int most = 0;
    for (size_t i = 0; i < packed.pixels.size(); ++i) most = std::max(most, std::abs(packed.pixels[i] - expected[i]));
    CHECK(packed.pixels.size() == static_cast<size_t>(side) * side * 3);
    CHECK(most <= 1);
  }
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

TEST_CASE("data: an image's name is its path below the folder that was given, damaged ones left out") {
  const TemporaryFolder folder;
  write_images(folder / "inner/train/ant", 2);
  write_images(folder / "inner/train/bee", 2);
  write_images(folder / "inner/val/bee", 1);
  write(folder / "inner/train/ant/000.png", std::string("text"));
  for (const char* end : {"", "/"})
    for (int64_t budget : {int64_t{0}, int64_t{1} << 20}) {
      CAPTURE(budget);
      OpenOptions options;
      options.resident_bytes = budget, options.damage_limit = 0.5;
      const auto train = open_images("images:" + folder.path() + end, options);
      const int64_t left_out = train->resident() ? 1 : 0;
      REQUIRE(train->size() == 4 - left_out);
      CHECK(train->image_name(1 - left_out) == "inner/train/ant/001.png");
      CHECK(train->image_name(3 - left_out) == "inner/train/bee/001.png");
      CHECK(subset(train, {2})->image_name(0) == train->image_name(2));
      options.split = "test";
      CHECK(open_images("images:" + folder.path() + end, options)->image_name(0) == "inner/val/bee/000.png");
    }
  CHECK(open_tree(folder / "inner/val/bee")->image_name(0) == "000.png");
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
  std::filesystem::create_directory_symlink("a", folder / "b");  // two names of one folder are two classes
  CHECK(open_tree(folder.path())->labels() == std::vector<int32_t>{0, 0, 1, 1});
}

TEST_CASE("data: an image is one by any usual ending of its name") {
  const TemporaryFolder folder;
  for (const char* ending : {"jpg", "JPEG", "jfif", "jpe", "jif", "pjpeg", "mpo", "bmp", "dib", "png", "apng"})
    write(folder / fmt::format("x.{}", ending), jpeg(pattern(7, 7)));
  CHECK(open_tree(folder.path())->size() == 11);
}

TEST_CASE("data: a folder without images is refused") {
  const TemporaryFolder folder;
  write(folder / "a.txt", std::string("x"));
  CHECK_THROWS_WITH_AS(open_tree(folder.path()), doctest::Contains("holds no image file"), Error);
}

}  // namespace gestalt::test
