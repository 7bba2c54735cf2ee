// Pickles that Python wrote, cut and changed, and sets of images in them.
#include "engine/data/pickle.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "engine/data/images/image_set.h"
#include "kernels/check.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/source_path.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

const std::string golden = source_path("tests/golden/cifar/");

Bytes bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

}  // namespace

TEST_CASE("data: CIFAR for Python is read from its archive, by rows or by columns") {
  const auto ten = open_images("cifar10:" + golden + "cifar-10-python.tar.xz");
  CHECK(ten->labels() == std::vector<int32_t>{3, 4, 3, 4, 3, 4, 3, 4, 3, 4});
  CHECK(ten->class_names()[3] == "cat");
  const auto test = open_images("cifar10:" + golden + "cifar-10-python.tar.xz", {.split = "test"});
  CHECK(test->labels() == std::vector<int32_t>{7, 8, 9});
  const auto at = [](const ImageSet& set, int64_t image) {
    const auto decoded = set.decode(image);
    const uint8_t* p = &decoded.pixels[(5 * 32 + 17) * 3];
    return std::vector<int>(p, p + 3);
  };
  CHECK(at(*ten, 9) == std::vector<int>{17, 5, 5});
  CHECK(at(*test, 2) == std::vector<int>{17, 5, 9});
  const auto hundred = open_images("cifar100:" + golden + "cifar-100-python.tar.xz");
  CHECK(hundred->labels() == std::vector<int32_t>{90, 91});
  CHECK(hundred->class_names()[90] == "class90");
  CHECK_THROWS_WITH_AS(open_images("cifar100:" + golden + "cifar-10-python.tar.xz"),
                       doctest::Contains("train.bin is missing; give cifar-100-binary.tar.gz or"), Error);
  const TemporaryFolder folder;
  for (int b = 1; b <= 5; ++b) write(folder / fmt::format("data_batch_{}", b), read(golden + "data_batch_1"));
  CHECK(open_images("cifar10:" + folder.path())->size() == 10);
  write(folder / "data_batch_3", std::string("\x80\x02}."));
  CHECK_THROWS_WITH_AS(open_images("cifar10:" + folder.path()),
                       doctest::Contains("data_batch_3 holds no array 'data' with a list 'labels'"), Error);
}

TEST_CASE("data: a pickle is read without executing anything, and refused where it is cut or changed") {
  const Bytes whole = read(golden + "data_batch_1");
  {
    const Pickle pickle(whole);
    REQUIRE(pickle.root().at("data"));
    CHECK(pickle.root().at("data")->type == "u1");
    CHECK(pickle.root().at("batch_label")->text == "training batch 1 of 5");
    CHECK(pickle.root().at("nothing") == nullptr);
    CHECK(pickle.root().at("labels")->items[1]->number == 4);
    CHECK(pickle.root().at("labels")->items[1]->at("x") == nullptr);
    const Bytes again = read(golden + "protocol4");
    const Pickle protocol4(again);
    CHECK(protocol4.root().at("data")->text == pickle.root().at("data")->text);
    CHECK(protocol4.root().at("data")->type == "u1");
  }
  for (size_t size = 0; size < whole.size(); size += size < 300 || size + 300 > whole.size() ? 1 : 97)
    CHECK_THROWS_AS(Pickle({whole.data(), size}), Error);
  Bytes changed = whole;
  for (size_t i = 0; i < 4000; ++i) {
    const size_t place = i * 7919 % 400;
    changed[place] ^= static_cast<uint8_t>(1 + i % 255);
    try {
      const Pickle pickle(changed);
    } catch (const Error&) {}
    changed[place] = whole[place];
  }
  const Bytes command = bytes_of(
      "\x80\x02"
      "cposix\nsystem\nU\x04true\x85R.");
  CHECK_THROWS_WITH_AS(Pickle{command}, doctest::Contains("calls posix.system, which is not read"), Error);
}

}  // namespace gestalt::test
