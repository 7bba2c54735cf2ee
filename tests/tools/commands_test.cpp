// The commands as a user types them, on tiny runs: what they print, what they write, and what they refuse.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/data/images/image_codec.h"
#include "engine/run/files.h"
#include "engine/tensor/safetensors.h"
#include "tasks/training/run.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"
#include "tests/tools/printed.h"
#include "tools/commands.h"
#include "tools/evaluation.h"
#include "tools/flags.h"
#include "tools/output.h"
#include "tools/results.h"

namespace gestalt::test {
namespace {

Image image_in(const std::string& file) {
  const std::string bytes = read_text(file);
  return decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Runs of a step or two; tests look at them, no test changes them.
struct Runs {
  TemporaryFolder folder;
  std::string simclr = make("simclr"), mae = make("mae"), gpt = make("gpt");

  std::string make(const std::string& method) {
    const std::unique_ptr<Method> made = tiny_method(method);
    made->run.steps = 2;
    pretrain(*made, {.out = folder / method, .quiet = true});
    return folder / method;
  }
};

const Runs& runs() {
  static const Runs all;
  return all;
}

}  // namespace

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

TEST_CASE("evaluate: each protocol prints itself and a row for a table") {
  const std::string encoder = runs().simclr + "/encoder.safetensors", data = " --data shapes:192 --dtype f32";
  const std::string knn = gestalt_prints("evaluate knn " + encoder + data);
  CHECK(contains(knn, "protocol: weighted kNN"));
  CHECK(contains(knn, "simclr & resnet10 (width 8) & 2 steps & knn (k = 192) & 100 \\% & "));
  CHECK(contains(knn, "all 192 labels"));
  const std::string linear = gestalt_prints("evaluate linear " + encoder + data + " --epochs 2 --labels 0.1");
  CHECK(contains(linear, "protocol: linear probe"));
  CHECK(contains(linear, "24 of 192 labels (12.5 %; 10 % of each class, at least one, was asked for)"));
  CHECK(contains(linear, " & linear & 24 of 192 (12.5 \\%) & "));
  const std::string least = gestalt_prints("evaluate knn " + encoder + data + " --labels 0.001 --knn-k 3");
  CHECK(contains(least, "12 of 192 labels (6.25 %; 0.1 % of each class, at least one, was asked for)"));
  CHECK(contains(least, " & knn (k = 3) & 12 of 192 (6.25 \\%) & "));
  const std::string augmented =
      gestalt_prints("evaluate linear " + encoder + data + " --epochs 2 --augment --row markdown");
  CHECK(contains(augmented, "random views"));
  CHECK(contains(augmented, "| simclr | resnet10 (width 8) | 2 steps | linear (augmented) | 100 % | "));
  CHECK(contains(gestalt_prints("evaluate knn " + encoder + data + " --raw-pixels"), "raw pixels & - & - & knn"));
  CHECK(contains(gestalt_prints("evaluate linear " + encoder + data + " --epochs 1 --untrained"),
                 "untrained encoder & resnet10 (width 8) & - & linear"));
  const std::string scratch =
      gestalt_prints("evaluate finetune " + runs().mae + "/encoder.safetensors" + data + " --epochs 1 --untrained");
  CHECK(contains(scratch, "from scratch & vit-nano/8 & - & finetune & 100 \\% & "));
  CHECK(contains(scratch, "protocol: fine-tuning of all layers"));
}

TEST_CASE("evaluate: each result is a line of JSON in the run's folder, and on stdout where it is asked for") {
  const std::string data = " --data shapes:192 --dtype f32 --json";
  const std::string said = gestalt_prints("evaluate knn " + runs().simclr + "/encoder.safetensors" + data);
  const auto result = nlohmann::json::parse(said);
  CHECK(result["evaluation"] == "knn");
  CHECK(result["method"] == "simclr");
  CHECK(result["accuracy"].is_number());
  CHECK(result["labels_used"] == 192);
  CHECK(result["test_images"] == 48);
  CHECK(read_text(runs().simclr + "/results.jsonl").ends_with(said));
  const std::string text = gestalt_prints("evaluate text " + runs().gpt + " --data sums:400 --dtype f32 --json");
  CHECK(nlohmann::json::parse(text)["bits_per_byte"].is_number());
  CHECK(read_text(runs().gpt + "/results.jsonl").ends_with(text));
}

TEST_CASE("pretrain --keep-best: evaluate, embed and export take RUN/best, and say of which step it is") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", best = run + "/best", data = " --data shapes:192 --dtype f32";
  const std::string said =
      gestalt_prints("pretrain simclr --preset tiny" + data +
                     " --batch 64 --epochs 2 --probe-every 1 --keep-best rank --no-html --out " + run);
  REQUIRE(contains(said, "best: "));
  const auto record = nlohmann::json::parse(read_text(best + "/best.json"));
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

TEST_CASE("list and info: the same as JSON") {
  const auto methods = nlohmann::json::parse(gestalt_prints("list methods --json"));
  const bool simclr = std::any_of(methods.begin(), methods.end(), [](const auto& m) { return m["name"] == "simclr"; });
  CHECK(simclr);
  CHECK(contains(gestalt_prints("list tasks"), "\n  --preset simclr-cifar10 "));
  CHECK(nlohmann::json::parse(gestalt_prints("list models --json"))[0]["name"].is_string());
  CHECK(nlohmann::json::parse(gestalt_prints("list data --json"))[0]["modality"] == "images");
  CHECK(contains(gestalt_prints("list data"), "\n\ntext\n"));
  CHECK(nlohmann::json::parse(gestalt_prints("info --json"))["gestalt"].is_string());
  CHECK(contains(gestalt_prints("info"), "\nbuild             "));
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

TEST_CASE("report: of a run into its folder, of several where --out says; pretrain ends with one") {
  const TemporaryFolder folder;
  const std::string both = runs().simclr + "/ " + runs().mae + " --images 16 --out " + folder.path() + "/both.html";
  CHECK(contains(gestalt_prints("report " + both), "wrote " + folder.path() + "/both.html ("));
  CHECK(contains(read_text(folder / "both.html"), "<h1>2 runs</h1>"));
  CHECK(contains(gestalt_prints("report " + runs().gpt), "wrote " + runs().gpt + "/report.html ("));
  CHECK(contains(gestalt_prints("report"), "got no run"));
  CHECK(contains(gestalt_prints("report " + folder.path()), "holds no run"));
  const std::string run = "pretrain simclr --preset tiny --steps 1 --dtype f32 --out " + folder.path() + "/";
  CHECK(contains(gestalt_prints(run + "a --report"), "\nreport: " + folder.path() + "/a/report.html\n"));
  CHECK(contains(read_text(folder / "a/report.html"), "<td>linear</td><td>untrained encoder</td>"));
  CHECK(contains(read_text(folder / "a/results.jsonl"), "\"features\":\"encoder\""));
  CHECK_FALSE(contains(gestalt_prints(run + "b --no-html"), "report.html"));
  std::filesystem::create_directories(folder / "c/report.html/in the way");
  const std::string in_the_way = gestalt_prints(run + "c");
  CHECK(contains(in_the_way, "\nencoder: " + folder.path() + "/c/encoder.safetensors\n"));
  CHECK_FALSE(contains(in_the_way, "\nreport: "));
}

TEST_CASE("runs: a line a run, or JSON") {
  const std::string table = gestalt_prints("runs " + runs().folder.path() + " --fields seed");
  CHECK(contains(table, runs().folder.path() + "/simclr  finished  simclr  "));
  CHECK(contains(table, runs().folder.path() + "/gpt     finished  gpt     "));
  const auto json = nlohmann::json::parse(gestalt_prints("runs " + runs().folder.path() + " --json --sort probe"));
  CHECK(json.size() == 3);
  CHECK(json[2]["method"] == "gpt");
  CHECK(contains(gestalt_prints("runs /nowhere"), "is no folder"));
}

TEST_CASE("sweep: a table of its runs, and a failure where some have none") {
  const TemporaryFolder folder;
  const std::string file = folder / "s.conf";
  write_file_atomically(file, "method = simclr\npreset = tiny\ndtype = f32\nsteps = 1\nbatch = 16 | 4096\n");
  const std::string said = gestalt_prints("sweep " + file + " --quiet --out " + folder.path() + "/out");
  CHECK(contains(said, "\n16     1  "));
  CHECK(contains(said, "out/sweep.csv has this table"));
  CHECK(contains(said, "1 of 2 runs have not ended"));
  CHECK(contains(gestalt_prints("sweep " + file), "no --out"));
}

TEST_CASE("evaluate text: the validation loss that training printed") {
  const std::string text = gestalt_prints("evaluate text " + runs().gpt + " --data sums:400 --dtype f32");
  CHECK(contains(text, " nats a token"));
  CHECK(contains(text, "held-out tokens in "));
  CHECK(contains(text, "GPT-2 2x32, context 32 & character & "));
  std::string metrics = read_text(runs().gpt + "/metrics.csv");
  const double probed = std::stod(metrics.substr(metrics.rfind(',') + 1));
  CHECK(contains(text, fmt::format("loss {:.4f} nats", probed)));
  CHECK_FALSE(contains(gestalt_prints("evaluate text " + runs().gpt + " --data sums:400 --split all --dtype f32"),
                       fmt::format("loss {:.4f} nats", probed)));
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

TEST_CASE("show: a run whose method keeps a memory of its data is looked at without them") {
  const TemporaryFolder folder;
  for (const char* method : {"moco", "nnclr", "deepclusterv2"}) {
    const std::unique_ptr<Method> made = tiny_method(method);
    made->run.steps = 1;
    pretrain(*made, {.out = folder / method, .quiet = true});
    const std::string out = folder / (std::string(method) + ".png");
    CHECK(
        contains(gestalt_prints("show " + folder / method + " --data shapes:30 --images 0-1 --dtype f32 --out " + out),
                 "a row an image, 2 views each"));
    CHECK(std::filesystem::exists(out));
  }
}

TEST_CASE("show: a picture of chosen images, by number or by file") {
  const TemporaryFolder folder;
  const std::string out = folder / "grid.png", show = "show " + runs().mae;
  const std::string said = gestalt_prints(show + " --images 0,2-3 --dtype f32 --out " + out);
  CHECK(contains(said, "masked loss "));
  CHECK(contains(said, "3 images, 75 % hidden"));
  const Image grid = image_in(out);
  CHECK(grid.height / 3 == doctest::Approx(grid.width / 4).epsilon(0.05));  // a row an image, four columns
  // A file that was written is one that can be shown.
  CHECK(contains(gestalt_prints(show + " " + out + " --dtype f32 --out " + folder / "again.png"), "1 images"));
  // Another draw hides other patches, the same draw the same ones.
  gestalt_prints(show + " --images 0,2-3 --dtype f32 --draw 1 --out " + folder / "other.png");
  gestalt_prints(show + " --images 0,2-3 --dtype f32 --out " + folder / "same.png");
  CHECK(image_in(folder / "other.png").pixels != grid.pixels);
  CHECK(image_in(folder / "same.png").pixels == grid.pixels);
  CHECK(contains(gestalt_prints(show + " --images 5-3"), "--images '5-3'"));
  CHECK(contains(gestalt_prints(show + " --images 0-99999"), "up to 512"));
}

TEST_CASE("show: the views that an encoder is shown, a row an image") {
  const TemporaryFolder folder;
  const std::string out = folder / "views.png";
  for (const std::string& line : {"show " + runs().simclr, "show " + runs().mae + " --views"}) {
    CAPTURE(line);
    const int columns = contains(line, "--views") ? 1 : 2;  // SimCLR has no picture of its own
    const std::string said = gestalt_prints(line + " --images 0-2 --split train --dtype f32 --out " + out);
    CHECK(contains(said, fmt::format("what the encoder is shown: a row an image, {} views each", columns)));
    const Image sheet = image_in(out);
    CHECK(sheet.height / 3 == doctest::Approx(sheet.width / columns).epsilon(0.05));
  }
  CHECK(contains(gestalt_prints("show " + runs().gpt), "gestalt generate"));
}

TEST_CASE("pretrain: a run that collapsed says so at its end, and what to change") {
  const TemporaryFolder folder;
  const std::string flags = " --preset tiny --dtype f32 --device cpu --epochs 12 --out ";
  CHECK(contains(gestalt_prints("pretrain byol --no-predictor" + flags + folder / "without"),
                 "collapsed; BYOL needs its predictor: run without --no-predictor"));
  CHECK_FALSE(contains(gestalt_prints("pretrain byol" + flags + folder / "with"), "collapsed"));
}

TEST_CASE("list collapse: each method's signs, with what they mean and the cure") {
  const std::string said = gestalt_prints("list collapse");
  for (const MethodEntry& entry : list_methods())
    CHECK(contains(said, "\n" + entry.name) != said.starts_with(entry.name));
  for (const char* part : {"feature_std below 0.15", "redundancy above 0.5", "which sharpen", "--lambda"})
    CHECK_MESSAGE(contains(said, part), part);
  CHECK(contains(said, "its loss is not won by features"));
}

TEST_CASE("commands say what is wrong with what they are given, and what to do") {
  const std::string encoder = runs().simclr + "/encoder.safetensors";
  const auto says = [](const std::string& line, const std::string& part) {
    const std::string said = gestalt_prints(line);
    CHECK_MESSAGE(contains(said, part), line, " says: ", said);
  };
  says("evaluate knn /no/such/file --data shapes", "/no/such/file");
  says("evaluate knn " + encoder, "no --data");
  says("evaluate knn " + encoder + " --data shpaes", "shapes");
  says("evaluate knn " + encoder + " --data shapes --knnk 3", "--knn-k");
  says("evaluate knn " + runs().simclr + " --data shapes:192 --dtype f32", "knn accuracy");
  says("evaluate knn " + runs().gpt + " --data shapes", "evaluate text");
  says("evaluate knn " + runs().gpt + "/gpt2/model.safetensors --data shapes", "evaluate text");
  says("evaluate linear " + encoder + " --data shapes:192 --labels 2", "above 0 and up to 1");
  says("evaluate linear " + encoder + " --data shapes:192 --raw-pixels --augment", "one of them");
  says("evaluate finetune " + encoder + " --data shapes:192 --layer-decay 0.75", "--layer-decay");
  says("evaluate text " + encoder + " --data sums:400", "GPT");
  says("evaluate text " + runs().simclr + " --data sums:400", "encoder of images");
  says("evaluate text " + runs().gpt + " --data sums:400 --split tset", "validation");
  says("generate " + runs().mae, "encoder of images");
  says("generate " + encoder, "GPT");
  says("generate " + runs().gpt + " --prompt é", "é");
  says("show /no/such/run", "/no/such/run");
  says("show " + runs().mae + " /no/such/file.png", "/no/such/file.png");
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
  CHECK(contains(gestalt_prints("pretrain" + data + "/run --width 4"), "\ntrained 1 steps"));
  const auto config = nlohmann::json::parse(read_text(folder / "run/config.json"));
  CHECK(config["method"] == "simclr");
  CHECK(config["size"] == 48);
  CHECK(config["width"] == 4);  // the flag wins
  CHECK(contains(gestalt_prints("pretrain --resume " + (folder / "run")), "trained 1 steps"));
  // A method that is named keeps its own settings, but for what would not do.
  const std::string named = gestalt_prints("pretrain byol --preset byol-tiny" + data + "/byol --dry-run");
  CHECK(contains(named, "byol --size 48 --batch 8 (your flags win"));
  CHECK_FALSE(contains(
      gestalt_prints("pretrain byol --preset byol-tiny --size 16 --batch 4" + data + "/byol --dry-run"), "chosen"));
  CHECK(contains(gestalt_prints("pretrain --threads 1"), "neither a method nor --data"));
  CHECK(contains(gestalt_prints("pretrain --data image:x"), "did you mean \"images\"?"));
  CHECK(contains(gestalt_prints("pretrain --data images:/nowhere --model resnet51"), "did you mean 'resnet50'?"));
  CHECK(contains(gestalt_prints("pretrain --data images:/nowhere"), "/nowhere is not a folder"));
}

TEST_CASE("words that others use for commands and flags are answered with ours") {
  for (const auto& [typed, meant] :
       std::vector<std::pair<std::string, std::string>>{{"train", "'pretrain'"},
                                                        {"encode x", "'embed'"},
                                                        {"eval x", "'evaluate'"},
                                                        {"pretrain simclr --batchsize 3", "'--batch'"}})
    CHECK(contains(gestalt_prints(typed), "did you mean " + meant + "?"));
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

TEST_CASE("output that does not arrive is a failure") {
  if (access("/dev/full", W_OK) != 0) return;
  std::fflush(stdout);
  const int kept = dup(STDOUT_FILENO), full = open("/dev/full", O_WRONLY);
  dup2(full, STDOUT_FILENO);
  std::fputs("a result", stdout);
  std::string error;
  try {
    tools::flush_output();
  } catch (const Error& e) { error = e.what(); }
  dup2(kept, STDOUT_FILENO);
  close(kept);
  close(full);
  std::clearerr(stdout);
  CHECK(error == "cannot write the output: No space left on device");
  CHECK_NOTHROW(tools::flush_output());
}

TEST_CASE("what stands beside a name is broken between words where the terminal is narrow") {
  CHECK(tools::beside("name", "one two three four five six", 8, 30) == "name    one two three four\n        five six");
  CHECK(tools::beside("name", "one two three four five six", 8, 0) == "name    one two three four five six");
  CHECK(tools::beside("a name", "averylongwordthatisnotbroken one", 5, 10) ==
        "a name averylongwordthatisnotbroken\n     one");
  CHECK(tools::beside("name", "", 8, 30) == "name    ");
}

TEST_CASE("table rows: LaTeX's own characters are escaped, Markdown's line is whole") {
  CHECK(tools::table_row({"a_b", "10 %", "x&y"}, "latex") == "a\\_b & 10 \\% & x\\&y \\\\");
  CHECK(tools::table_row({"a_b", "10 %"}, "markdown") == "| a_b | 10 % |");
}

}  // namespace gestalt::test
