// Features in files: NumPy's header, rows and names that agree, and an interrupted run that ends with the same bytes.
#include "tasks/evaluation/embed.h"

#include <doctest/doctest.h>

#include <cstring>

#include "engine/run/files.h"
#include "engine/tensor/npy.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

std::unique_ptr<Encoder> small_encoder(const char* model = "resnet10") {
  Random random(5);
  EncoderOptions options;
  options.model = model;
  if (std::string(model) == "resnet10") options.resnet.width = 8;
  return make_encoder(options, 16, random);
}

// 23 images in two classes, of which one is damaged.
void write_tree(const std::string& dir) {
  for (int i = 0; i < 23; ++i)
    write_image(fmt::format("{}/{}/{:02}.png", dir, i < 12 ? "ant" : "bee, \"wild\"", i),
                pattern(20, 18 + i % 3, 7 * i));
  write(dir + "/ant/05.png", std::string("text"));
}

AllImages open_tree(const std::string& dir) {
  OpenOptions options;
  options.resident_bytes = 0, options.damage_limit = 1;
  return open_all_images("images:" + dir, "all", options);
}

const ViewOptions view{.size = 16, .batch = 4};

}  // namespace

// What numpy.lib.format.write_array(file, array, version=(1, 0)) of NumPy 2 writes before an array of shape (3, 4).
TEST_CASE("npy: the header is NumPy's") {
  const std::string expected = std::string("\x93NUMPY\x01\x00v\x00", 10) +
                               "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }" + std::string(58, ' ') +
                               "\n";
  CHECK(npy_header({3, 4}) == expected);
  CHECK(npy_header({5}).find("'shape': (5,), }") != std::string::npos);
  CHECK(npy_header({1281167, 16, 16, 2048}).size() == 128);
}

TEST_CASE("embed: a row an image that can be read, named in order") {
  const TemporaryFolder folder;
  write_tree(folder / "tree");
  const auto encoder = small_encoder();
  const AllImages images = open_tree(folder / "tree");
  const EmbedResult result = embed(*encoder, images, view, {.out = folder / "e.npy"});
  CHECK(result.ended);
  CHECK(result.shape == Shape{22, 64});
  REQUIRE(result.skipped.size() == 1);
  CHECK(result.skipped[0].file == "ant/05.png");
  const std::string file = read_text(folder / "e.npy");
  REQUIRE(file.size() == 128 + 22 * 64 * 4);
  CHECK(file.substr(0, 128) == npy_header({22, 64}));
  const Tensor expected = extract_features(*encoder, images.set, view).features;
  REQUIRE(expected.dim(0) == 22);
  CHECK(std::memcmp(file.data() + 128, expected.data<float>(), 22 * 64 * 4) == 0);
  const std::string list = read_text(folder / "e.files.csv");
  CHECK(list.starts_with("file,split,label\nant/00.png,train,ant\n"));
  CHECK(list.find("ant/05.png") == std::string::npos);
  CHECK(list.find("ant/09.png,test,ant\n") != std::string::npos);
  CHECK(list.find("\n\"bee, \"\"wild\"\"/12.png\",train,\"bee, \"\"wild\"\"\"\n") != std::string::npos);
  CHECK(read_text(folder / "e.skipped.csv").starts_with("file,reason\nant/05.png,"));
  CHECK_THROWS_WITH_AS(embed(*encoder, images, view, {.out = folder / "e.npy"}), doctest::Contains("--overwrite"),
                       Error);
  CHECK_THROWS_WITH_AS(embed(*encoder, images, view, {.out = folder / "e.bin"}), doctest::Contains(".npy or .csv"),
                       Error);
  embed(*encoder, images, view, {.out = folder / "t.csv"});
  const std::string table = read_text(folder / "t.csv");
  CHECK(table.starts_with("file,split,label,f0,f1,"));
  CHECK(table.find(fmt::format("\nant/00.png,train,ant,{},{},", expected.data<float>()[0],
                               expected.data<float>()[1])) != std::string::npos);
}

TEST_CASE("embed: interrupted at any batch, it goes on to the same bytes") {
  const TemporaryFolder folder;
  write_tree(folder / "tree");
  const auto encoder = small_encoder();
  const AllImages images = open_tree(folder / "tree");
  embed(*encoder, images, view, {.out = folder / "whole.npy"});
  embed(*encoder, images, view, {.out = folder / "whole.csv"});
  for (const char* end : {".npy", ".csv"}) {
    const std::string out = folder / (std::string("part") + end);
    EmbedOptions options{.out = out, .stop = [] { return true; }};
    int sittings = 0;
    for (EmbedResult result; !result.ended; ++sittings) {
      result = embed(*encoder, images, view, options);
      CHECK(result.resumed_at == std::min(4 * sittings, 20));
      // What a killed process wrote after its last record.
      if (!result.ended) std::ofstream(out + ".partial", std::ios::app) << "more";
    }
    CHECK(sittings == 6);
    CHECK(read_text(out) == read_text(folder / (std::string("whole") + end)));
  }
  CHECK(read_text(folder / "part.files.csv") == read_text(folder / "whole.files.csv"));
  CHECK(read_text(folder / "part.skipped.csv") == read_text(folder / "whole.skipped.csv"));
  CHECK_FALSE(std::filesystem::exists(folder / "part.npy.partial.json"));
}

TEST_CASE("embed: what was begun with other weights or views is not gone on with") {
  const TemporaryFolder folder;
  write_tree(folder / "tree");
  const auto encoder = small_encoder();
  const AllImages images = open_tree(folder / "tree");
  EmbedOptions options{.out = folder / "e.npy", .stop = [] { return true; }};
  embed(*encoder, images, view, options);
  ViewOptions larger = view;
  larger.size = 20;
  CHECK_THROWS_WITH_AS(embed(*encoder, images, larger, options), doctest::Contains("other size (20, was 16)"), Error);
  Random random(6);
  EncoderOptions other;
  other.model = "resnet10", other.resnet.width = 8;
  CHECK_THROWS_WITH_AS(embed(*make_encoder(other, 16, random), images, view, options),
                       doctest::Contains("other weights"), Error);
  options.overwrite = true, options.stop = nullptr;
  CHECK(embed(*encoder, images, larger, options).resumed_at == 0);
}

TEST_CASE("embed: patches of a ViT and of a ResNet average to what is pooled") {
  const TemporaryFolder folder;
  write_tree(folder / "tree");
  for (const char* model : {"resnet10", "vit-nano"}) {
    CAPTURE(model);
    const auto encoder = small_encoder(model);
    const AllImages images = open_tree(folder / "tree");
    const EmbedResult result =
        embed(*encoder, images, view, {.out = folder / "p.npy", .layer = "patch", .overwrite = true});
    REQUIRE(result.shape.rank() == 4);
    const int64_t width = encoder->features(), places = result.shape[1] * result.shape[2];
    CHECK(result.shape == Shape{22, result.shape[1], result.shape[1], width});
    const std::string file = read_text(folder / "p.npy");
    const Tensor pooled = extract_features(*encoder, images.set, view).features;
    for (int64_t c = 0; c < width; ++c) {
      double sum = 0;
      for (int64_t p = 0; p < places; ++p) {
        float value = 0;
        std::memcpy(&value, file.data() + 128 + ((3 * places + p) * width + c) * 4, 4);
        sum += value;
      }
      CHECK(sum / static_cast<double>(places) ==
            doctest::Approx(pooled.data<float>()[3 * width + c]).epsilon(1e-4).scale(1));
    }
  }
}

TEST_CASE("all images: each once, with its split and label") {
  const AllImages shapes = open_all_images("shapes:48", "all", {});
  CHECK(shapes.set->size() == 60);
  CHECK(shapes.splits[47] == "train");
  CHECK(shapes.splits[48] == "test");
  CHECK(shapes.set->image_name(50) == "test/2");
  CHECK(shapes.label_name(13) == shapes.set->class_names()[1]);
  CHECK(shapes.set->decode(50).pixels == open_images("shapes:48", {.split = "test"})->decode(2).pixels);
  const TemporaryFolder folder;
  for (int i = 0; i < 12; ++i) write_image(fmt::format("{}/{:02}.png", folder.path(), i), pattern(9, 9, i));
  const AllImages flat = open_all_images("images:" + folder.path(), "all", {});
  CHECK(flat.splits == std::vector<std::string>(12, "train"));
  CHECK(flat.label_name(3).empty());
}

}  // namespace gestalt::test
