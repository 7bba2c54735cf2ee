// The loader: reproducible order, resume, threads, and damaged images on the way.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "engine/data/images/loader.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

struct Copy {
  std::vector<int32_t> samples, labels;
  std::vector<Bytes> images;
  int64_t epoch, step;
  bool operator==(const Copy&) const = default;
};

Copy copy_of(const ImageBatch& batch) {
  Copy copy{batch.samples, batch.labels, {}, batch.epoch, batch.step};
  const uint8_t* pixels = batch.pixels.data<uint8_t>();
  for (const kernels::Frame& f : batch.frames) {
    REQUIRE(f.offset + int64_t{f.height} * f.width * 3 <= batch.pixels.count());
    copy.images.emplace_back(pixels + f.offset, pixels + f.offset + f.height * f.width * 3);
  }
  return copy;
}

std::vector<Copy> run(std::shared_ptr<ImageSet> set, LoaderOptions options, int steps, int64_t from = 0) {
  Loader loader(std::move(set), options);
  loader.seek(from);
  std::vector<Copy> copies;
  for (int i = 0; i < steps; ++i) copies.push_back(copy_of(loader.next()));
  return copies;
}

// 23 images of different sizes in two classes; three of them damaged.
void write_tree(const TemporaryFolder& folder, bool damage) {
  for (int i = 0; i < 23; ++i) {
    const Image image = pattern(8 + i % 3, 9 + i % 5, i);
    const std::string stem = folder / fmt::format("{}/{:02}", i < 12 ? "ants" : "bees", i);
    i % 2 ? write_image(stem + ".png", image) : write(stem + ".jpg", jpeg(image));
  }
  if (!damage) return;
  write(folder / "ants/03.png", std::string());
  write(folder / "ants/04.jpg", std::string("no picture"));
  Bytes half = read(folder / "bees/22.jpg");
  half.resize(half.size() / 2);
  write(folder / "bees/22.jpg", half);
}

OpenOptions streaming(double damage_limit = 0.2) {
  OpenOptions options;
  options.resident_bytes = 0;
  options.damage_limit = damage_limit;
  return options;
}

}  // namespace

TEST_CASE("data: an epoch's order holds each sample once and depends on seed and epoch") {
  std::vector<int32_t> order = epoch_order(1000, 5, 2);
  CHECK(order == epoch_order(1000, 5, 2));
  CHECK(order != epoch_order(1000, 5, 3));
  CHECK(order != epoch_order(1000, 6, 2));
  // A fair shuffle moves a sample by a third of the length on average.
  double moved = 0;
  for (int i = 0; i < 1000; ++i) moved += std::abs(order[i] - i);
  CHECK(moved / 1000 == doctest::Approx(333).epsilon(0.06));
  std::sort(order.begin(), order.end());
  for (int i = 0; i < 1000; ++i) CHECK(order[i] == i);
}

TEST_CASE("data: a resident set is batched without a copy") {
  const auto set = open_images("shapes:100");
  LoaderOptions options;
  options.batch = 32;
  Loader loader(set, options);
  CHECK(loader.steps_per_epoch() == 3);
  std::set<int32_t> seen;
  for (int i = 0; i < 3; ++i) {
    const ImageBatch batch = loader.next();
    CHECK(batch.pixels.same_storage(set->pixels()));
    CHECK(batch.epoch == 0);
    for (size_t k = 0; k < 32; ++k) {
      seen.insert(batch.samples[k]);
      CHECK(batch.frames[k].offset == batch.samples[k] * 3072);
      CHECK(batch.labels[k] == set->labels()[batch.samples[k]]);
    }
  }
  CHECK(seen.size() == 96);
  CHECK(loader.next().epoch == 1);
  CHECK(run(set, options, 4, 5)[0] == run(set, options, 6)[5]);
}

TEST_CASE("data: batches of a streaming set depend neither on threads, prefetch nor a restart") {
  const TemporaryFolder folder;
  write_tree(folder, true);
  const std::string spec = "images:" + folder.path();
  LoaderOptions one;
  one.batch = 5, one.threads = 1, one.seed = 3;
  const std::vector<Copy> expected = run(open_images(spec, streaming()), one, 14);
  CHECK(expected[0].images != expected[4].images);
  for (int threads : {2, 4})
    for (int64_t prefetch : {0, 3}) {
      LoaderOptions options = one;
      options.threads = threads, options.prefetch = prefetch;
      CHECK(run(open_images(spec, streaming()), options, 14) == expected);
    }
  const std::vector<Copy> resumed = run(open_images(spec, streaming()), one, 5, 9);
  for (size_t i = 0; i < 5; ++i) CHECK(resumed[i] == expected[i + 9]);
  Loader loader(open_images(spec, streaming()), one);
  for (int64_t step : {3, 0, 11, 2}) {
    loader.seek(step);
    CHECK(copy_of(loader.next()) == expected[static_cast<size_t>(step)]);
  }
}

TEST_CASE("data: a streamed damaged image gives way to the next good one and is counted once") {
  const TemporaryFolder folder;
  write_tree(folder, true);
  const auto set = open_images("images:" + folder.path(), streaming());
  REQUIRE_FALSE(set->resident());
  LoaderOptions options;
  options.batch = 23, options.shuffle = false, options.threads = 3;
  Loader loader(set, options);
  for (int epoch = 0; epoch < 3; ++epoch) {
    const ImageBatch batch = loader.next();
    CHECK(batch.samples[3] == 5);
    CHECK(batch.samples[4] == 5);
    CHECK(batch.samples[22] == 0);
    CHECK(batch.labels[22] == 0);
    CHECK(batch.samples[10] == 10);
  }
  const DamageReport report = set->damage();
  INFO(report.text());
  REQUIRE(report.damaged.size() == 3);
  CHECK(report.damaged[0].file == "ants/03.png");
  CHECK(report.damaged[0].reason == "is empty");
  CHECK(report.damaged[2].file == "bees/22.jpg");
}

TEST_CASE("data: too much damage ends the run with the list") {
  const TemporaryFolder folder;
  write_tree(folder, true);
  LoaderOptions options;
  options.batch = 23;
  Loader loader(open_images("images:" + folder.path(), streaming(0.1)), options);
  CHECK_THROWS_WITH_AS(loader.next(), doctest::Contains("ants/0"), Error);
}

TEST_CASE("data: a set smaller than a batch is refused, a short last batch can be asked for") {
  LoaderOptions options;
  options.batch = 65;
  CHECK_THROWS_WITH_AS(Loader(open_images("shapes:64"), options), doctest::Contains("--batch"), Error);
  options.drop_last = false;
  CHECK(Loader(open_images("shapes:64"), options).next().samples.size() == 64);
  options.batch = 40;
  const std::vector<Copy> copies = run(open_images("shapes:64"), options, 3);
  CHECK(copies[1].samples.size() == 24);
  CHECK(copies[2].epoch == 1);
}

TEST_CASE("data: batches of a streaming set share buffers") {
  const TemporaryFolder folder;
  write_tree(folder, false);
  LoaderOptions options;
  options.batch = 4, options.prefetch = 1, options.threads = 2;
  Loader loader(open_images("images:" + folder.path(), streaming()), options);
  std::set<const void*> memory;
  for (int i = 0; i < 40; ++i) memory.insert(loader.next().pixels.in().data);
  CHECK(memory.size() <= 8);
  const ImageBatch held = loader.next();
  const Copy before = copy_of(held);
  for (int i = 0; i < 10; ++i) loader.next();
  CHECK(copy_of(held) == before);
}

}  // namespace gestalt::test
