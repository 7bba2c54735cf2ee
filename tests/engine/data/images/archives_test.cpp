// Images in archives, in lists and from several sources: as from the folder of the same images.
#include <doctest/doctest.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>

#include "engine/data/images/all_images.h"
#include "engine/data/images/splits.h"
#include "engine/run/files.h"
#include "tasks/training/image_method.h"
#include "tasks/training/run.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/source_path.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

const std::string archives = source_path("tests/golden/archives/");

void write_images(const std::string& folder, int count, int32_t shift = 0) {
  for (int i = 0; i < count; ++i)
    write_image(folder + "/" + fmt::format("{:03}.png", i), pattern(5, 6, shift + 10 * i));
}

// Name, label and pixels of each image.
std::string contents(const ImageSet& set) {
  std::string text;
  for (int64_t i = 0; i < set.size(); ++i) {
    const Image image = set.decode(i);
    text += fmt::format("{} {} {}\n", set.labels().empty() ? -1 : set.labels()[static_cast<size_t>(i)], image.height,
                        fmt::join(image.pixels, ","));
  }
  return text + fmt::format("{}", fmt::join(set.class_names(), "/"));
}

}  // namespace

TEST_CASE("data: an archive is the folder that it was made of") {
  const TemporaryFolder folder;
  for (const char* split : {"train", "val"})
    for (int c = 0; c < 3; ++c)
      write_images(
          folder / fmt::format("{}/{}", split, std::vector<std::string>{"ant", "bée", std::string(120, 'n')}[c]), 2, c);
  for (const char* split : {"train", "test"})
    for (int64_t resident : {int64_t{0}, int64_t{1} << 20}) {
      const OpenOptions options{.split = split, .hold_out = true, .resident_bytes = resident};
      const auto expected = open_images("images:" + folder.path(), options);
      for (const char* file : {"tar:pax.tar", "tar:gnu.tar", "tar:tree.tar.gz", "tar:tree.tar.xz", "zip:tree.zip"}) {
        CAPTURE(file);
        const std::string spec = std::string(file).substr(0, 4) + archives + std::string(file).substr(4);
        const auto set = open_images(spec, options);
        CHECK(set->resident() == (resident > 0));
        CHECK(contents(*set) == contents(*expected));
        CHECK(set->image_name(0) ==
              std::string(file).substr(4) + "/" + (split[1] == 'r' ? "train" : "val") + "/ant/000.png");
        CHECK(set->damage().not_image_count == (split[1] == 'r' ? 1 : 0));
        CHECK(set->stored_size(0).height == 5);
        CHECK(set->stored_size(0).width == 6);
      }
    }
}

TEST_CASE("data: a zip with the other slash, and with what systems lay beside files, is the folder all the same") {
  const auto set = open_images("zip:" + archives + "windows.zip", {.split = "test"});
  CHECK(set->class_names() == std::vector<std::string>{"ant", "bee"});
  CHECK(set->labels() == std::vector<int32_t>{0, 0, 1, 1});
  CHECK(set->decode(3).pixels == pattern(5, 6, 11).pixels);
}

TEST_CASE("data: shards that webdataset wrote are the folder of their pictures, in a run too") {
  const TemporaryFolder folder;
  for (int c = 0; c < 2; ++c) write_images(folder / fmt::format("{}", c), 12, c);
  std::string metrics[2];
  for (int packed : {0, 1}) {
    const std::unique_ptr<Method> method = tiny_method("simclr");
    method->run.data = packed ? "tar:" + archives + "webdataset-{0..1}.tar" : "images:" + folder.path();
    method->run.batch = 8, method->run.steps = 6, method->run.probe_every = 1;
    dynamic_cast<ImageMethod&>(*method).image_size = 8;
    const PretrainResult result = pretrain(*method, {.out = folder / fmt::format("run{}", packed), .quiet = true});
    CHECK(result.metrics.size() == 1);  // both are labelled
    metrics[packed] = read_text(result.folder + "/metrics.csv");
  }
  CHECK(metrics[0] == metrics[1]);
  CHECK(std::count(metrics[0].begin(), metrics[0].end(), '\n') > 3);
}

TEST_CASE("data: a shard that is cut off in a file names it, and has those before") {
  const TemporaryFolder folder;
  Bytes shard = read(archives + "webdataset-1.tar");
  const auto at = std::search(shard.begin(), shard.end(), &"000017.png"[0], &"000017.png"[10]);
  shard.resize(static_cast<size_t>(at - shard.begin()) + 512 + 50);
  write(folder / "cut.tar", shard);
  const auto set = open_images("tar:" + (folder / "cut.tar"), {.resident_bytes = 0, .damage_limit = 0.5});
  REQUIRE(set->size() == 5);
  for (int i = 0; i < 5; ++i) CHECK(set->decode(i).pixels == pattern(5, 6, 10 * i + 1).pixels);
  REQUIRE(set->damage().damaged.size() == 1);
  CHECK(set->damage().damaged[0].file == folder / "cut.tar");
  CHECK(set->damage().damaged[0].reason == "is damaged in 000017.png, and what follows is not read: it ends there");
  CHECK_THROWS_WITH_AS(open_images("tar:" + (folder / "none-{0..3}.tar")), doctest::Contains("none-0.tar is missing"),
                       Error);
}

TEST_CASE("data: what is given in another way than it is meant is answered with the way") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) write_images(folder / name, 2);
  const auto says = [](const std::string& spec) {
    try {
      open_images(spec);
      return std::string();
    } catch (const Error& error) { return std::string(error.what()); }
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  };
  contains(says("images:" + (folder / "a") + "," + (folder / "b")),
           "several are images:" + (folder / "a") + ",images:");
  contains(says(folder / "a"), "give images:" + (folder / "a"));
  contains(says("tar:" + (folder / "a")), "give images:" + (folder / "a"));
  contains(says(folder / "a/000.png"), "which is a file; say what it is: tar:");
  contains(says("zip:" + (folder / "a/000.png")), "000.png is no tar or zip archive");
  contains(says("list:" + (folder / "none.txt")), "none.txt");
  contains(says("text:" + (folder / "a")), "which is text");
}

TEST_CASE("data: a comma in a pattern's braces parts no sources") {
  const auto set = open_images("tar:" + archives + "{pax,gnu}.tar,zip:" + archives + "tree.zip");
  CHECK(set->size() == 18);
  CHECK(set->labels().size() == 18);
  CHECK(set->image_name(0) == archives + "pax.tar/train/ant/000.png");
  CHECK(set->image_name(17).starts_with(archives + "tree.zip/train/"));
  CHECK(set->class_names().size() == 3);
}

TEST_CASE("data: labels beside the images of shards, in numerical order") {
  const auto set = open_images("tar:" + archives + "shard-{000..000}.tar");
  CHECK(set->class_names() == std::vector<std::string>{"2", "9", "10"});
  CHECK(set->labels() == std::vector<int32_t>{1, 2, 1, 0});
  CHECK(set->damage().not_image_count == 0);
  CHECK(set->describe().find("labels lie beside the images: 2 (1), 9 (2), 10 (1)") != std::string::npos);
  const auto unlabelled = open_images("tar:" + archives + "shard-000.tar", {.unlabelled = true});
  CHECK(unlabelled->labels().empty());
  CHECK(unlabelled->size() == 4);
}

TEST_CASE("data: shards of the same names are one set, and a damaged image is named by archive and entry") {
  const TemporaryFolder folder;
  const Bytes shard = read(archives + "shard-000.tar");
  write(folder / "a.tar", shard);
  write(folder / "b.tar", shard);
  const auto both = open_images("tar:" + (folder / "*.tar"));
  CHECK(both->size() == 8);
  CHECK(both->labels().size() == 8);
  CHECK(both->class_names().size() == 3);
  CHECK(both->image_name(4) == "b.tar/000000.png");
  Bytes broken = shard;
  broken[512 + 40] ^= 0xff;  // in the first picture
  write(folder / "c.tar", broken);
  const auto set = open_images("tar:" + (folder / "c.tar"), {.resident_bytes = 0, .damage_limit = 0.5});
  CHECK_THROWS_WITH_AS(set->decode(0), doctest::Contains("c.tar/000000.png"), DamagedImage);
}

TEST_CASE("data: a list names files, with labels or without") {
  const TemporaryFolder folder;
  write_images(folder / "pictures", 12);
  std::string files, labelled;
  for (int i = 0; i < 12; ++i) {
    files += fmt::format("pictures/{:03}.png\n", i);
    labelled += fmt::format("pictures/{:03}.png\t{}\n", i, i % 2 ? "odd" : "even");
  }
  write(folder / "files.txt", files);
  write(folder / "labelled.txt", labelled);
  const auto plain = open_images("list:" + (folder / "files.txt"), {.hold_out = true});
  CHECK(plain->size() == 12);
  CHECK(plain->labels().empty());
  CHECK(plain->image_path(1) == folder / "pictures/001.png");
  const ImageSplits splits = open_splits("list:" + (folder / "labelled.txt"), 0);
  CHECK(splits.train->class_names() == std::vector<std::string>{"even", "odd"});
  CHECK(splits.train->size() == 10);
  CHECK(splits.test->image_name(0) == "pictures/010.png");
  // A mark of the byte order, comments, blank lines, blanks around labels and other ends of lines say nothing.
  std::string marked = "\xef\xbb\xbf# even and odd\r\n\r\n" + labelled;
  for (size_t at = 0; (at = marked.find("odd\n", at)) != std::string::npos; at += 5) marked.replace(at, 4, " odd \r\n");
  write(folder / "marked.txt", marked + "  \n\t\n");
  CHECK(contents(*open_images("list:" + (folder / "marked.txt"))) ==
        contents(*open_images("list:" + (folder / "labelled.txt"))));
  for (const char* separator : {" ", ","}) {
    std::string text = labelled;
    std::replace(text.begin(), text.end(), '\t', *separator);
    write(folder / "separated.txt", text);
    CHECK_THROWS_WITH_AS(open_images("list:" + (folder / "separated.txt")), doctest::Contains("after a tab"), Error);
  }
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  for (const char* scheme : {"list:", "tar:", "zip:"})
    CHECK_THROWS_WITH_AS(open_images(scheme + (folder / "pipe")), doctest::Contains("is not a file"), Error);
  write(folder / "mixed.txt", labelled + "pictures/x.png\n");
  CHECK_THROWS_WITH_AS(open_images("list:" + (folder / "mixed.txt")), doctest::Contains("line 13"), Error);
  write(folder / "twice.txt", files + files);
  CHECK_THROWS_WITH_AS(open_images("list:" + (folder / "twice.txt")), doctest::Contains("again"), Error);
}

TEST_CASE("data: several sources are one, with the classes of all") {
  const TemporaryFolder folder;
  for (const char* name : {"bee", "cat"}) write_images(folder / fmt::format("one/{}", name), 3);
  for (const char* name : {"ant", "cat"}) write_images(folder / fmt::format("two,three/{}", name), 2, 100);
  const std::string one = "images:" + (folder / "one"), two = "images:" + (folder / "two,three");
  CHECK(open_images(two)->size() == 4);
  for (int64_t resident : {int64_t{0}, int64_t{1} << 20}) {
    const OpenOptions options{.hold_out = false, .resident_bytes = resident};
    const auto set = open_images(one + "," + two, options);
    CHECK(set->resident() == (resident > 0));
    CHECK(set->class_names() == std::vector<std::string>{"ant", "bee", "cat"});
    CHECK(set->labels() == std::vector<int32_t>{1, 1, 1, 2, 2, 2, 0, 0, 2, 2});
    CHECK(set->decode(9).pixels == pattern(5, 6, 110).pixels);
    CHECK(set->image_name(6) == folder / "two,three/ant/000.png");
    CHECK(set->image_path(9) == folder / "two,three/cat/001.png");
  }
  CHECK(open_all_images(one + "," + two, "all", {}).set->size() == 10);
  CHECK(open_splits(one + "," + two, 0).test->labels() == std::vector<int32_t>{1, 2, 0, 2});
  for (const char* name : {"train/a", "val/a"}) write_images(folder / name, 2);
  const std::string splits = "images:" + (folder / "train/") + ",images:" + (folder / "val");
  for (int64_t resident : {int64_t{0}, int64_t{1} << 20})
    CHECK(open_images(splits, {.resident_bytes = resident})->describe().find("all are learned from") !=
          std::string::npos);
  write_images(folder / "flat", 2);
  CHECK(open_images(one + ",images:" + (folder / "flat"))->labels().empty());
  CHECK_THROWS_WITH_AS(open_images(one + "," + one), doctest::Contains("twice"), Error);
}

TEST_CASE("data: unlabelled images are all learned from, and folders are not looked at where that is asked for") {
  const TemporaryFolder folder;
  write_images(folder / "flat", 30);
  CHECK(open_splits("images:" + (folder / "flat"), 0).pretrain->size() == 30);
  CHECK_THROWS_WITH_AS(open_images("images:" + (folder / "flat"), {.split = "test"}),
                       doctest::Contains("unlabelled images"), EmptySplit);
  for (const char* name : {"2023", "2024"}) write_images(folder / fmt::format("years/{}", name), 20);
  const ImageSplits years = open_splits("images:" + (folder / "years"), 0);
  CHECK(years.pretrain->size() == 36);
  CHECK(years.pretrain->describe().find("folders are the classes: 2023 (20), 2024 (20)") != std::string::npos);
  const ImageSplits unlabelled = open_splits("images:" + (folder / "years"), 0, {.unlabelled = true});
  CHECK(unlabelled.pretrain->size() == 40);
  CHECK_FALSE(unlabelled.labelled());
  CHECK(open_splits("shapes:60", 0, {.unlabelled = true}).pretrain->labels().empty());
}

}  // namespace gestalt::test
