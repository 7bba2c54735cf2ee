// `gestalt pretrain`: what it chooses, begins with, keeps, says at its end and refuses.
#include <doctest/doctest.h>

#include <filesystem>

#include "engine/run/files.h"
#include "engine/run/json.h"
#include "engine/tensor/safetensors.h"
#include "tasks/training/run.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/tools/command_runs.h"

namespace gestalt::test {

TEST_CASE("pretrain --init: an encoder begins with a file's weights; another model is refused by the flag that helps") {
  const TemporaryFolder folder;
  const auto begun = [&](const std::string& method, const std::string& from) {
    const std::unique_ptr<Method> made = tiny_method(method);
    set_fields(*made, "test", "steps = 1\nlr = 0\ninit = " + from);
    return pretrain(*made, {.out = folder / method, .quiet = true}).encoder_file;
  };
  const SafetensorsFile before = read_safetensors(runs().simclr + "/encoder.safetensors"),
                        after = read_safetensors(begun("simclr", runs().simclr));
  for (const char* name : {"conv1.weight", "layer3.0.conv2.weight", "bn1.bias"})
    CHECK(after.at(name).values() == before.at(name).values());
  CHECK_THROWS_WITH_AS(begun("mae", runs().simclr), doctest::Contains("say --model resnet10"), Error);
}

TEST_CASE("pretrain --keep-best: evaluate, embed and export take RUN/best, and say of which step it is") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", best = run + "/best", data = " --data shapes:192 --dtype f32";
  const std::string said =
      gestalt_prints("pretrain simclr --preset tiny" + data +
                     " --batch 64 --epochs 2 --probe-every 1 --keep-best rank --no-html --out " + run);
  REQUIRE(contains(said, "best: "));
  const auto record = parse_json("test", read_text(best + "/best.json"));
  const std::string step = std::to_string(record.at("step").get<int64_t>());
  CHECK(contains(gestalt_prints("evaluate knn " + best + data), ", the best at step " + step + " & knn"));
  const std::string results = read_text(run + "/results.jsonl");
  CHECK(contains(results, "\"features\":\"best encoder\""));
  gestalt_prints("embed " + best + data + " --out " + folder / "e.npy");
  CHECK(std::filesystem::exists(folder / "e.npy"));
  gestalt_prints("export " + best + " --out " + folder / "hub");
  const std::string card = read_text(folder / "hub/README.md");
  CHECK(contains(card, "as it was after step " + step));
  CHECK(contains(card, "gestalt pretrain simclr"));
  CHECK(contains(gestalt_prints("runs " + folder.path()), " at step " + step));
}

TEST_CASE("pretrain: a run that collapsed says so at its end, and what to change") {
  const TemporaryFolder folder;
  const std::string flags = " --preset tiny --dtype f32 --device cpu --epochs 12 --out ";
  CHECK(contains(gestalt_prints("pretrain byol --no-predictor" + flags + folder / "without"),
                 "collapsed; BYOL needs its predictor: run without --no-predictor"));
  CHECK_FALSE(contains(gestalt_prints("pretrain byol" + flags + folder / "with"), "collapsed"));
}

TEST_CASE("pretrain: without a method, data and machine decide, which is said and recorded") {
  const TemporaryFolder folder;
  for (int i = 0; i < 20; ++i) {
    const Image image = test::pattern(40 + i, 60);
    write_png(folder / fmt::format("{:02}.png", i), image.pixels.data(), image.height, image.width);
  }
  const std::string data =
      " --data images:" + folder.path() + " --threads 1 --dtype f32 --steps 1 --out " + folder.path();
  const std::string said = gestalt_prints("pretrain" + data + "/run --width 4 --dry-run");
  CHECK(contains(said,
                 "chosen for 20 images, the median's shorter side 50 pixels on 1 core: simclr --size 48 --batch 8 "
                 "--model resnet18 --optimizer adamw --lr 2e-3"));
  CHECK(contains(said, "20 images of 40 to 60 pixels a side, unlabelled"));
  CHECK(contains(said, " parameters, f32 on cpu, 1 step (2 an epoch): about "));
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
  const std::string run = folder / "run";
  CHECK(contains(gestalt_prints("pretrain" + data + "/run --width 4"), "\ntrained 1 steps"));
  // Without labels: the page names a command that works, and what is shown are images that were learned from.
  CHECK(contains(read_text(run + "/report.html"),
                 "no labels to measure by; &#39;gestalt look " + run + " --data images:" + folder.path()));
  CHECK(contains(gestalt_prints("evaluate knn " + run + " --data images:" + folder.path()), "'gestalt look'"));
  const TemporaryFolder elsewhere;
  const std::string picture = elsewhere / "picture.png";
  CHECK(contains(gestalt_prints("show " + run + " --dtype f32 --out " + picture), "wrote " + picture));
  CHECK(image_in(picture).height / 8 == doctest::Approx(image_in(picture).width / 2).epsilon(0.1));
  CHECK(contains(gestalt_prints("show " + run + " --split test"), "none can be held out"));
  const auto config = parse_json("test", read_text(folder / "run/config.json"));
  CHECK(config["method"] == "simclr");
  CHECK(config["size"] == 48);
  CHECK(config["width"] == 4);  // the flag wins
  CHECK(contains(gestalt_prints("pretrain --resume " + run), "trained 1 steps"));
  // A method that is named keeps its own settings, but for what would not do.
  const std::string named = gestalt_prints("pretrain byol --preset byol-tiny" + data + "/byol --dry-run");
  CHECK(contains(named, "byol --size 48 --batch 8 (your flags win"));
  CHECK_FALSE(contains(
      gestalt_prints("pretrain byol --preset byol-tiny --size 16 --batch 4" + data + "/byol --dry-run"), "chosen"));
  CHECK(contains(gestalt_prints("pretrain --threads 1"), "neither a method nor --data"));
  CHECK(contains(gestalt_prints("pretrain images:x"), "data follow a flag: --data images:x"));
  CHECK(contains(gestalt_prints("pretrain " + folder.path()), "data follow a flag: --data images:" + folder.path()));
  CHECK(contains(gestalt_prints("pretrain --data image:x"), "did you mean \"images\"?"));
  CHECK(contains(gestalt_prints("pretrain --data images:/nowhere --model resnet51"), "did you mean 'resnet50'?"));
  CHECK(contains(gestalt_prints("pretrain --data images:/nowhere"), "/nowhere is not a folder"));
}

TEST_CASE("pretrain: what --resume may change, and what is wrong with the rest") {
  const auto says = [](const std::string& line, const std::string& part) {
    const std::string said = gestalt_prints("pretrain " + line);
    CHECK_MESSAGE(contains(said, part), line, " says: ", said);
  };
  const std::string run = runs().simclr, again = "simclr --resume " + run;
  says(again + " --momentum 0.5", "got --momentum with --resume");
  says(again + " --no-head-norm", "got --head-norm with --resume");
  says(again + " --device cpu", "another device rounds otherwise");
  says(again + " --out elsewhere", "goes without --out");
  says("byol --resume " + run, "gestalt pretrain simclr --resume");
  says("simclr --allow-other-data", "goes with --resume");
  says("gpt --preset tiny --report", "no table of accuracies");
  says("simclr --config " + run + "/config.json --batch 1", "--batch 1, expected 2 or more for simclr");
  says("byol --config " + run + "/config.json", "is for the method simclr, not for byol");
  says("simclr --preset tiny --lr -0.1", "--lr: got '-0.1', expected 0 or more");
  says("simclr --preset tiny --momentum 2", "--momentum: got '2', expected 0 or more and under 1");
  const TemporaryFolder folder;
  std::filesystem::copy(run, folder / "run");
  says("simclr --resume " + folder / "run" + " --threads 1 --loader-threads 1 --data shapes:192", "trained 2 steps");
  says("simclr --resume " + folder / "run" + " --data shapes:200", "images 200 instead of");
  says("simclr --resume " + folder / "run" + " --steps 3 --lr 0.01", "trained 3 steps");
  says("simclr --config " + run + "/config.json --out " + folder / "same", "trained 2 steps");
  CHECK(read_text(folder / "same/metrics.csv") == read_text(run + "/metrics.csv"));
}

}  // namespace gestalt::test
