// Runs: what they write, what they resume, and how they fail.
#include "tasks/training/run.h"
#include "engine/run/json.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/data/images/image_codec.h"
#include "engine/run/files.h"
#include "engine/run/table.h"
#include "engine/tensor/allocator.h"
#include "engine/tensor/safetensors.h"
#include "tasks/training/image_method.h"
#include "tasks/training/training.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

std::string first_line(const std::string& file) {
  const std::string text = read_text(file);
  return text.substr(0, text.find('\n'));
}

std::unique_ptr<Method> one_epoch() {
  std::unique_ptr<Method> method = tiny_method("simclr");
  method->run.epochs = 1;
  return method;
}

}  // namespace

TEST_CASE("pretraining: unlabelled photographs of several sizes, with damaged files among them") {
  const TemporaryFolder folder;
  for (int i = 0; i < 40; ++i) {
    const int32_t height = 24 + i % 5, width = 40 - i % 7;
    std::vector<uint8_t> pixels(static_cast<size_t>(height * width * 3));
    for (size_t p = 0; p < pixels.size(); ++p) pixels[p] = static_cast<uint8_t>(p * (i + 3));
    write_png(folder / fmt::format("{:02}.png", i), pixels.data(), height, width);
  }
  std::ofstream(folder / "broken.jpg") << "no image at all";
  const std::unique_ptr<Method> method = make_method("simclr");
  set_fields(*method, "test", "batch = 16\nepochs = 1\nmodel = resnet10\nwidth = 8\ndata = images:" + folder.path());
  const PretrainSettings settings{.out = folder / "run", .quiet = true};
  CHECK_THROWS_WITH_AS(pretrain(*method, settings), doctest::Contains("--size"), Error);
  std::filesystem::remove_all(folder / "run");
  set_fields(*method, "test", "size = 24");
  const PretrainResult result = pretrain(*method, settings);
  CHECK(result.steps == 2);
  CHECK(result.metrics.empty());
  CHECK(std::filesystem::exists(result.encoder_file));
  CHECK(dynamic_cast<ImageMethod&>(*method).images().pretrain->damage().damaged.size() == 1);
}

TEST_CASE("pretraining: nothing is overwritten, and what cannot be resumed is said") {
  const TemporaryFolder folder;
  pretrain(*one_epoch(), {.out = folder / "run", .quiet = true});
  CHECK_THROWS_WITH_AS(pretrain(*one_epoch(), {.out = folder / "run", .quiet = true}), doctest::Contains("--resume"),
                       Error);
  CHECK_THROWS_WITH_AS(method_of_run(folder / "nothing"), doctest::Contains("nothing"), Error);
  auto large = one_epoch();
  large->run.batch = 1000;
  CHECK_THROWS_WITH_AS(pretrain(*large, {.out = folder / "b", .quiet = true}), doctest::Contains("--batch"), Error);
  CHECK_THROWS_WITH_AS(find_method("simlcr"), doctest::Contains("simclr"), Error);
}

TEST_CASE("a training step asks the system for no memory once the first ones are done") {
  const std::unique_ptr<Method> method = tiny_method("simclr");
  const std::unique_ptr<Feed> feed = method->open();
  Random random(1);
  method->build(random);
  PhaseClock clock;
  Training training(*method, *feed, clock);
  uint64_t calls = 0;
  while (training.steps() < 10) {
    training.step();
    if (training.steps() == 4) calls = allocator_stats(Device::cpu).system_calls;
  }
  CHECK(allocator_stats(Device::cpu).system_calls == calls);
}

TEST_CASE("metrics: terms and the losses of several networks are columns after the loss") {
  const TemporaryFolder folder;
  const std::string begins = "step,epoch,loss,", ends = "lr,gradient_norm,feature_std,effective_rank,knn_percent";
  const std::pair<const char*, const char*> columns[] = {{"simclr", "accuracy,"},
                                                         {"vicreg", "invariance,variance,covariance,"},
                                                         {"dino", "teacher_entropy,kl,"},
                                                         {"gan", "discriminator,generator,"}};
  for (const auto& [name, terms] : columns) {
    const std::string which = name;
    CAPTURE(which);
    const std::unique_ptr<Method> method = tiniest_method(name, Device::cpu);
    pretrain(*method, {.out = folder / name, .quiet = true});
    CHECK(first_line(folder / name + "/metrics.csv") == begins + terms + ends);
    CHECK(first_line(folder / name + "/timing.csv") ==
          "step,seconds,items_per_second,data_ms,augment_ms,forward_ms,backward_ms,optimizer_ms,peak_memory_mib");
  }
}

TEST_CASE("--tensorboard: rows, timings, pictures and weights are in event files, one a sitting") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const auto run = [](std::unique_ptr<Method> method, PretrainSettings settings) {
    method->run.tensorboard = true;
    settings.quiet = true;
    pretrain(*method, settings);
  };
  run(tiniest_method("mae", Device::cpu), {.out = out, .stop_after = 1});
  run(method_of_run(out), {.resume = out});
  std::string all;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(out))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) all += read_text(entry.path()), ++files;
  CHECK(files == 2);
  for (const char* tag :
       {"metrics/loss", "metrics/lr", "timing/seconds", "weights/encoder.blocks.0.norm1.weight", "picture"})
    CHECK_MESSAGE(all.find(tag) != std::string::npos, tag);
}

TEST_CASE("metrics: terms that were summed before an interruption are in the row after it, bit for bit") {
  const TemporaryFolder folder;
  const auto method = [] {
    auto vicreg = tiny_method("vicreg");
    vicreg->run.epochs = 2;  // of six steps: rows at the ends of epochs
    return vicreg;
  };
  pretrain(*method(), {.out = folder / "whole", .quiet = true});
  CHECK(pretrain(*method(), {.out = folder / "parts", .quiet = true, .stop_after = 2}).interrupted);
  CHECK_FALSE(std::filesystem::exists(folder / "parts/metrics.csv"));  // there was no row yet
  pretrain(*method_of_run(folder / "parts"), {.resume = folder / "parts", .quiet = true, .stop_after = 6});
  CHECK_FALSE(pretrain(*method_of_run(folder / "parts"), {.resume = folder / "parts", .quiet = true}).interrupted);
  CHECK(read_text(folder / "parts/metrics.csv") == read_text(folder / "whole/metrics.csv"));
  CHECK(read_text(folder / "parts/metrics.jsonl") == read_text(folder / "whole/metrics.jsonl"));
  CHECK(read_text(folder / "whole/metrics.csv").find("covariance") != std::string::npos);
}

TEST_CASE("metrics: each measure of a probe has a column of its own, and each row is a line of JSON too") {
  const TemporaryFolder folder;
  pretrain(*tiniest_method("gpt", Device::cpu), {.out = folder / "gpt", .quiet = true});
  CHECK(first_line(folder / "gpt/metrics.csv").ends_with(",effective_rank,validation_loss,bits_per_byte"));
  const std::string lines = read_text(folder / "gpt/metrics.jsonl");
  const NumberTable table = parse_number_table("metrics.csv", read_text(folder / "gpt/metrics.csv"));
  size_t at = 0;
  for (const auto& row : table.rows) {
    const size_t end = lines.find('\n', at);
    REQUIRE(end != lines.npos);
    const auto json = parse_json("test", lines.substr(at, end - at));
    at = end + 1;
    REQUIRE(json.size() == table.columns.size());
    for (size_t i = 0; i < table.columns.size(); ++i) {
      const auto& value = json.at(table.columns[i]);
      CHECK((row[i] ? value.get<double>() == *row[i] : value.is_null()));
    }
  }
  CHECK(at == lines.size());
  CHECK(table.last("bits_per_byte").has_value());
}

TEST_CASE("checkpoints: those of another version are refused with what to do, strangers by name") {
  const TemporaryFolder folder;
  pretrain(*one_epoch(), {.out = folder / "run", .quiet = true});
  const std::string path = folder / "run/checkpoint.safetensors";
  std::filesystem::remove(folder / "run/checkpoint.previous.safetensors");
  SafetensorsFile file = read_safetensors(path);
  CHECK(std::any_of(file.tensors.begin(), file.tensors.end(),
                    [](const NamedTensor& t) { return t.name == "method.encoder.conv1.weight"; }));
  CHECK(std::any_of(file.tensors.begin(), file.tensors.end(),
                    [](const NamedTensor& t) { return t.name == "optimizer.first_moment"; }));
  const auto refused = [&](const std::string& header, const char* why) {
    file.metadata["gestalt.run"] = header;
    write_safetensors(path, file.tensors, file.metadata);
    CHECK_THROWS_WITH_AS(method_of_run(folder / "run"), doctest::Contains(why), Error);
  };
  // What programs wrote before method, sums and terms had their names.
  refused(R"({"task": "simclr", "fields": {"batch": 32}, "state": {"step": 6, "loss_sum": 1.5, "losses": 2}})",
          "another version");
  refused(R"({"format": 4, "method": "simclr", "fields": {}, "state": {}})", "begin anew with --config");
  refused(R"([1])", "another version");
  file.metadata.erase("gestalt.run");
  write_safetensors(path, file.tensors, file.metadata);
  CHECK_THROWS_WITH_AS(method_of_run(folder / "run"), doctest::Contains("no checkpoint of a run"), Error);
}

TEST_CASE("checkpoints: one of a method that held less is refused with what it lacks and what to do") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", path = run + "/checkpoint.safetensors";
  pretrain(*tiniest_method("nnclr", Device::cpu), {.out = run, .quiet = true, .stop_after = 2});
  std::filesystem::remove(run + "/checkpoint.previous.safetensors");
  SafetensorsFile file = read_safetensors(path);
  CHECK(std::erase_if(file.tensors, [](const NamedTensor& t) { return t.name.starts_with("method.queue_classes."); }) ==
        2);
  write_safetensors(path, file.tensors, file.metadata, true);
  const auto method = method_of_run(run);
  CHECK_THROWS_WITH_AS(pretrain(*method, {.resume = run, .quiet = true}),
                       doctest::Contains("checkpoint.safetensors has no method.queue_classes."), Error);
  CHECK_THROWS_WITH_AS(load_run(run, *method), doctest::Contains("begin anew with --config"), Error);
}

TEST_CASE("run options: what auto resolves to") {
  CHECK(RunOptions{.device = "cpu"}.resolved_device() == Device::cpu);
  CHECK(RunOptions{.dtype = "bf16"}.resolved_dtype() == DType::bf16);
}

}  // namespace gestalt::test
