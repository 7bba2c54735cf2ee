// The formats of published data sets: written small, read back, and refused when they are damaged.
#include <doctest/doctest.h>
#include <zlib.h>

#include <cstring>
#include <span>

#include "engine/data/images/image_set.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

OpenOptions of_split(const char* split) {
  OpenOptions options;
  options.split = split;
  return options;
}

// `count` CIFAR records: label bytes, then planes where red is x, green is y and blue is `blue`.
Bytes cifar(int count, std::vector<uint8_t> labels, uint8_t blue) {
  Bytes bytes;
  for (int i = 0; i < count; ++i) {
    for (uint8_t label : labels) bytes.push_back(static_cast<uint8_t>(label + i));
    for (int c = 0; c < 3; ++c)
      for (int y = 0; y < 32; ++y)
        for (int x = 0; x < 32; ++x) bytes.push_back(static_cast<uint8_t>(c == 0 ? x : c == 1 ? y : blue));
  }
  return bytes;
}

void write_gzip(const std::string& path, const Bytes& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

}  // namespace

TEST_CASE("data: CIFAR-10 and CIFAR-100 binaries") {
  const TemporaryFolder folder;
  const std::string ten = folder / "cifar-10-batches-bin";
  for (int b = 1; b <= 5; ++b)
    write(fmt::format("{}/data_batch_{}.bin", ten, b), cifar(2, {3}, static_cast<uint8_t>(b)));
  write(ten + "/test_batch.bin", cifar(3, {7}, 9));
  write(ten + "/batches.meta.txt",
        std::string("airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"));
  for (const std::string& dir : {folder.path(), ten}) {
    const auto set = open_images("cifar10:" + dir);
    CHECK(set->size() == 10);
    CHECK(set->labels() == std::vector<int32_t>{3, 4, 3, 4, 3, 4, 3, 4, 3, 4});
    CHECK(set->class_names()[3] == "cat");
    const Image image = set->decode(9);
    const uint8_t* p = &image.pixels[(5 * 32 + 17) * 3];
    CHECK(p[0] == 17);
    CHECK(p[1] == 5);
    CHECK(p[2] == 5);
  }
  CHECK(open_images("cifar10:" + ten, of_split("test"))->labels() == std::vector<int32_t>{7, 8, 9});
  CHECK(open_images("cifar10:" + ten, of_split("test"))->image_name(2) == "test/2");
  write(ten + "/test_batch.bin", cifar(4, {7}, 9));
  CHECK_THROWS_WITH_AS(open_images("cifar10:" + ten, of_split("test")), doctest::Contains("label 10"), Error);
  for (size_t size : {size_t{0}, size_t{1}, size_t{3072}, size_t{3074}}) {
    write(ten + "/data_batch_3.bin", Bytes(size, 1));
    CHECK_THROWS_WITH_AS(open_images("cifar10:" + ten), doctest::Contains("data_batch_3.bin"), Error);
  }
  write(folder / "cifar-100-binary/train.bin", cifar(3, {4, 90}, 1));
  const auto hundred = open_images("cifar100:" + folder.path());
  CHECK(hundred->labels() == std::vector<int32_t>{90, 91, 92});
  CHECK(hundred->class_names().size() == 100);
  CHECK_THROWS_WITH_AS(open_images("cifar100:" + folder.path(), of_split("test")), doctest::Contains("test.bin"),
                       Error);
}

TEST_CASE("data: IDX files, plain and gzipped") {
  const TemporaryFolder folder;
  const std::string images = folder / "train-images-idx3-ubyte", labels = folder / "train-labels-idx1-ubyte";
  auto opening = [&] { return open_images("mnist:" + folder.path()); };
  CHECK_THROWS_WITH_AS(opening(), doctest::Contains("train-labels-idx1-ubyte"), Error);
  write(images, idx({5, 4, 6}, 10));
  write(labels, idx({5}, 3));
  const auto set = opening();
  CHECK(set->size() == 5);
  CHECK(set->labels() == std::vector<int32_t>{3, 4, 5, 6, 7});
  CHECK(set->frames()[0].height == 4);
  CHECK(set->frames()[0].width == 6);
  CHECK(set->decode(1).pixels[3] == 10 + 24 + 1);
  CHECK(set->decode(1).pixels[5] == 10 + 24 + 1);
  write_gzip(folder / "t10k-images.idx3-ubyte.gz", idx({2, 4, 6}, 1));
  write_gzip(folder / "t10k-labels-idx1-ubyte.gz", idx({2}, 8));
  CHECK(open_images("mnist:" + folder.path(), of_split("test"))->labels() == std::vector<int32_t>{8, 9});
  const Bytes packed = read(folder / "t10k-images.idx3-ubyte.gz");
  REQUIRE(packed.size() > 9);
  write(folder / "t10k-images.idx3-ubyte.gz", Bytes(packed.begin(), packed.end() - 9));
  CHECK_THROWS_WITH_AS(open_images("mnist:" + folder.path(), of_split("test")), doctest::Contains("gzip"), Error);

  auto refused = [&](const Bytes& bad_images, const Bytes& bad_labels, const char* part) {
    write(images, bad_images);
    write(labels, bad_labels);
    CHECK_THROWS_WITH_AS(opening(), doctest::Contains(part), Error);
  };
  const Bytes good = idx({5, 4, 6}, 10), good_labels = idx({5}, 3);
  refused(Bytes(good.begin(), good.end() - 1), good_labels, "more than its");
  Bytes longer = good;
  longer.push_back(0);
  refused(longer, good_labels, "its header says");
  refused(idx({50}, 3), good_labels, "expected 0x00000803");
  refused(good, idx({4}, 3), "4 labels for the 5 images");
  refused(good, idx({5}, 6), "label 10");
  refused({}, good_labels, "shorter than its header");
  Bytes wrapping = good;  // 2^16 · 2^16 · 2^32 - …: a product that wraps
  for (size_t at : {size_t{4}, size_t{8}, size_t{12}}) wrapping[at] = 0x80;
  refused(wrapping, good_labels, "more than its");
}

TEST_CASE("data: STL-10 is turned from columns to rows, resident or streamed") {
  const TemporaryFolder folder;
  Bytes image(3 * 96 * 96);
  for (int x = 0; x < 96; ++x)
    for (int y = 0; y < 96; ++y)
      image[x * 96 + y] = static_cast<uint8_t>(x), image[9216 + x * 96 + y] = static_cast<uint8_t>(y);
  Bytes two = image;
  two.insert(two.end(), image.begin(), image.end());
  write(folder / "train_X.bin", two);
  write(folder / "train_y.bin", Bytes{1, 10});
  write(folder / "unlabeled_X.bin", image);
  for (int64_t budget : {int64_t{0}, int64_t{1} << 20}) {
    OpenOptions options;
    options.resident_bytes = budget;
    const auto set = open_images("stl10:" + folder.path(), options);
    CHECK(set->resident() == (budget > 0));
    CHECK(set->labels() == std::vector<int32_t>{0, 9});
    const Image got = set->decode(1);
    CHECK(got.pixels[(7 * 96 + 50) * 3] == 50);
    CHECK(got.pixels[(7 * 96 + 50) * 3 + 1] == 7);
    CHECK(set->image_name(1) == "train/1");
  }
  const auto unlabelled = open_images("stl10:" + folder.path(), of_split("pretrain"));
  CHECK(unlabelled->size() == 1);
  CHECK(unlabelled->labels().empty());
  CHECK(unlabelled->image_name(0) == "unlabeled/0");
  write(folder / "train_y.bin", Bytes{1, 11});
  CHECK_THROWS_WITH_AS(open_images("stl10:" + folder.path()), doctest::Contains("label 11"), Error);
  write(folder / "train_y.bin", Bytes{1});
  CHECK_THROWS_WITH_AS(open_images("stl10:" + folder.path()), doctest::Contains("1 labels for 2"), Error);
  two.pop_back();
  write(folder / "train_X.bin", two);
  CHECK_THROWS_WITH_AS(open_images("stl10:" + folder.path()), doctest::Contains("multiple"), Error);
}

TEST_CASE("data: a packed file holds what was packed") {
  const TemporaryFolder folder;
  const std::string path = folder / "shapes.packed";
  const auto source = open_images("shapes:240");
  write_packed(*source, path, 0);
  const auto set = open_images("packed:" + path);
  CHECK(set->labels() == source->labels());
  CHECK(set->class_names() == source->class_names());
  CHECK(std::memcmp(set->pixels().in().data, source->pixels().in().data, 240 * 3072) == 0);
  CHECK(reinterpret_cast<uintptr_t>(set->pixels().in().data) % 64 == 0);
  write_packed(*source, path, 20);
  const auto small = open_images("packed:" + path);
  CHECK(small->decode(7).pixels == resize_image(source->decode(7), {20, true}).pixels);
  OpenOptions train = of_split("train");
  train.hold_out = true;
  const auto test = open_images("packed:" + path, of_split("test"));
  CHECK(open_images("packed:" + path, train)->size() + test->size() == 240);
  CHECK(open_images("packed:" + path, train)->image_name(3) == "shapes.packed/3");
  CHECK(test->image_name(0) == fmt::format("shapes.packed/{}", test->frames()[0].offset / (20 * 20 * 3)));
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("data: packing leaves out damaged images and needs one size") {
  const TemporaryFolder folder;
  for (int i = 0; i < 4; ++i) write_image(folder / fmt::format("tree/{}.png", i), pattern(9 + i, 12));
  write(folder / "tree/1.png", std::string());
  OpenOptions options;
  options.resident_bytes = 0, options.damage_limit = 0.5;
  const auto source = open_images("images:" + folder / "tree", options);
  CHECK_THROWS_WITH_AS(write_packed(*source, folder / "a.packed", 0), doctest::Contains("--size"), Error);
  CHECK_FALSE(std::filesystem::exists(folder / "a.packed"));
  write_packed(*source, folder / "a.packed", 8);
  const auto set = open_images("packed:" + folder / "a.packed");
  CHECK(set->size() == 3);
  CHECK(set->labels().empty());
  CHECK(set->decode(1).pixels == resize_image(pattern(11, 12), {8, true}).pixels);
}

TEST_CASE("data: truncated and altered packed files are refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "shapes.packed";
  write_packed(*open_images("shapes:6:16"), path, 0);
  const Bytes good = read(path);
  auto refused = [&](const Bytes& bytes) {
    write(path, bytes);
    CHECK_THROWS_AS(open_images("packed:" + path), Error);
  };
  for (size_t size : {size_t{0}, size_t{20}, size_t{56}, size_t{100}, good.size() - 1, good.size() - 768})
    refused(Bytes(good.begin(), good.begin() + static_cast<int64_t>(size)));
  const size_t tables = good.size() - 6 * 768;
  for (size_t at = 0; at < tables - 64; ++at)
    for (uint8_t bit : {1, 0x80}) {
      Bytes bad = good;
      bad[at] ^= bit;
      CAPTURE(at);
      refused(bad);
    }
  Bytes longer = good;
  longer.push_back(0);
  refused(longer);
}

TEST_CASE("data: a spec that names nothing is refused with the cure") {
  CHECK_THROWS_WITH_AS(open_images("cifar:/x"), doctest::Contains("did you mean \"cifar10\""), Error);
  CHECK_THROWS_WITH_AS(open_images("images"), doctest::Contains("images:DIR"), Error);
  CHECK_THROWS_WITH_AS(open_images("images:/no/such"), doctest::Contains("not a folder"), Error);
  CHECK_THROWS_WITH_AS(open_images("packed:/no/such"), doctest::Contains("/no/such"), Error);
  CHECK_THROWS_WITH_AS(open_images("cifar10:/no/such"), doctest::Contains("data_batch_1.bin is missing"), Error);
  CHECK_THROWS_WITH_AS(open_images("shapes", of_split("val")), doctest::Contains("pretrain"), Error);
}

}  // namespace gestalt::test
