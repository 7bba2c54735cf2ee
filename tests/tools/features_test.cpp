// What goes out of an encoder: exported folders, features, looks and clusters.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "engine/run/files.h"
#include "tests/tools/command_runs.h"

namespace gestalt::test {

TEST_CASE("export: a folder that other libraries load, with a card, and an ONNX file; nothing is written over") {
  const TemporaryFolder folder;
  const std::string hub = folder / "hub", onnx = folder / "net.onnx", to = " --out " + hub + " --onnx " + onnx;
  const std::string first = gestalt_prints("export " + runs().simclr + to);
  CHECK(contains(first, "its model.py: " + hub));
  CHECK(contains(first, "u8 (batch, height, width, 3) -> features (batch, 64): " + onnx));
  const std::string card = read_text(hub + "/README.md");
  CHECK(contains(card, "library_name: torchvision"));
  CHECK(contains(card, "gestalt pretrain simclr --data shapes:"));
  CHECK(contains(card, "2 steps of"));
  CHECK(contains(gestalt_prints("export " + runs().simclr + to), "give --overwrite"));
  CHECK(contains(gestalt_prints("export " + runs().simclr + to + " --overwrite"), onnx));
  CHECK(contains(gestalt_prints("export " + runs().simclr), "got no --out and no --onnx"));
  CHECK(contains(gestalt_prints("export " + runs().simclr + " --out " + runs().gpt), "is the folder of a run"));
  const std::string knn = " --data shapes:192 --dtype f32";
  const std::string there = gestalt_prints("evaluate knn " + hub + knn),
                    here = gestalt_prints("evaluate knn " + runs().simclr + knn);
  REQUIRE(contains(here, "protocol: "));
  CHECK(contains(there, here.substr(here.find("protocol: "))));
  CHECK(contains(gestalt_prints("evaluate knn " + hub + knn + " --pool cls"), "says all of them itself"));

  gestalt_prints("export " + runs().mae + " --out " + folder / "mae");
  CHECK(std::filesystem::exists(folder / "mae/mae.safetensors"));
  CHECK(contains(read_text(folder / "mae/README.md"), "ViTMAEForPreTraining"));
  const std::string gpt = gestalt_prints("export " + runs().gpt + " --out " + folder / "gpt");
  CHECK(contains(gpt, "for transformers: "));
  CHECK(std::filesystem::exists(folder / "gpt/tokenizer.json"));
}

TEST_CASE("embed and look: tables of a source that needs no folder") {
  const TemporaryFolder folder;
  const std::string common = runs().simclr + " --data shapes:96 --dtype f32 --out " + folder.path();
  const std::string said = gestalt_prints("embed " + common + "/e.npy");
  CHECK(contains(said, "features (120, "));
  CHECK(read_text(folder / "e.files.csv").starts_with("file,split,label\ntrain/0,train,plain disc\n"));
  CHECK(contains(gestalt_prints("embed " + common + "/e.npy"), "--overwrite"));
  CHECK(contains(gestalt_prints("embed " + common + "/t.csv --split test"), "features (24, "));
  CHECK(contains(gestalt_prints("embed " + common + "/p.npy --layer patch --size 16"), "features (120, 2, 2, "));
  CHECK(contains(gestalt_prints("embed " + runs().gpt + " --data shapes:96 --out x.npy"), "holds a GPT"));
  const std::string look = gestalt_prints("look " + common + "/look --choose 10");
  CHECK(contains(look, "120 images, in "));
  CHECK(contains(look, "chosen.csv: 10 images"));
  CHECK(image_in(folder / "look/neighbours.png").width == 9 * 100 + 4);
}

TEST_CASE("cluster: a table, a line an image, and a sheet with a row a cluster") {
  const TemporaryFolder folder;
  const std::string csv = folder / "found.csv";
  const std::string line = "cluster " + runs().simclr + " --data shapes:96 --dtype f32 --k 4 --columns 6 --out " + csv;
  const std::string said = gestalt_prints(line);
  CHECK(contains(said, "agreement with the labels: NMI "));
  CHECK(contains(said, "protocol: k-means, 4 clusters, greedy k-means++, best of 1, seed 1"));
  CHECK(contains(said, "simclr & resnet10 (width 8) & 4-means & "));
  const std::string text = read_text(csv);
  CHECK(text.starts_with("file,cluster,distance,class\ntrain/0,"));
  CHECK(std::count(text.begin(), text.end(), '\n') == 97);
  const Image sheet = image_in(folder / "found.png");
  CHECK(sheet.height / 4 == doctest::Approx(sheet.width / 6).epsilon(0.05));
  // The same again is the same; another seed, and pixels, are not.
  gestalt_prints(line);
  CHECK(read_text(csv) == text);
  const std::string raw = gestalt_prints(line + " --raw-pixels --spherical --restarts 2 --sheet " + folder / "raw.png");
  CHECK(contains(raw, "protocol: spherical k-means, 4 clusters, greedy k-means++, best of 2, seed 1; raw pixels"));
  CHECK(contains(raw, "- & - & 4-means & "));
  CHECK(read_text(csv) != text);
  CHECK(std::filesystem::exists(folder / "raw.png"));
  CHECK(contains(gestalt_prints("cluster " + runs().simclr + " --data shapes:96 --k 97"), "got --k 97 for 96 images"));
  CHECK(contains(gestalt_prints("cluster " + runs().simclr), "got no --data"));
}

TEST_CASE("cluster: images without labels, their files' names in the CSV") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "photos");
  for (int i = 0; i < 3; ++i) {
    const std::vector<uint8_t> pixels(16 * 16 * 3, static_cast<uint8_t>(100 * i));
    write_png(folder / ("photos/a, " + std::to_string(i) + ".png"), pixels.data(), 16, 16);
  }
  const std::string csv = folder / "found.csv";
  const std::string said = gestalt_prints("cluster " + runs().simclr + " --data images:" + folder / "photos" +
                                          " --k 2 --dtype f32 --out " + csv);
  CHECK_FALSE(contains(said, "labels"));
  const std::string text = read_text(csv);
  CHECK(text.starts_with("file,cluster,distance\n\"a, 0.png\","));
  CHECK(std::count(text.begin(), text.end(), '\n') == 4);
}

}  // namespace gestalt::test
