// BYOL as a run: collapse without a predictor, which the run must say, and a resume in bf16 with the target's shadows.
#include <doctest/doctest.h>

#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "engine/tensor/safetensors.h"
#include "tasks/byol.h"
#include "tasks/training/pretrain.h"

namespace gestalt::test {
namespace {

namespace fs = std::filesystem;

struct Scratch {
  fs::path path = fs::temp_directory_path() / ("gestalt-byol-test-" + std::to_string(::getpid()));
  Scratch() { fs::create_directories(path); }
  ~Scratch() { fs::remove_all(path); }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

std::unique_ptr<Byol> tiny(const std::string& dtype) {
  auto task = std::make_unique<Byol>();
  apply_preset(*task, find_task("byol"), "tiny");
  task->run.device = "cpu";
  task->run.dtype = dtype;
  return task;
}

}  // namespace

TEST_CASE("BYOL: without its predictor it collapses, and the run says so; with it neither") {
  Scratch scratch;
  for (const bool predictor : {true, false}) {
    CAPTURE(predictor);
    const std::unique_ptr<Byol> task = tiny("f32");
    task->use_predictor = predictor;
    task->run.epochs = 12;
    const PretrainResult result = pretrain(*task, {.out = scratch / (predictor ? "with" : "without"), .quiet = true});
    CHECK(result.collapsed == !predictor);
    CHECK((task->collapse_cure().find("--no-predictor") != std::string::npos) == !predictor);
  }
}

TEST_CASE("BYOL: a bf16 run resumes bit for bit, target and all") {
  Scratch scratch;
  pretrain(*tiny("bf16"), {.out = scratch / "whole", .quiet = true});
  CHECK(pretrain(*tiny("bf16"), {.out = scratch / "parts", .quiet = true, .stop_after = 5}).interrupted);
  pretrain(*task_of_run(scratch / "parts"), {.resume = scratch / "parts", .quiet = true});
  const SafetensorsFile whole = read_safetensors(scratch / "whole/checkpoint.safetensors");
  const SafetensorsFile parts = read_safetensors(scratch / "parts/checkpoint.safetensors");
  REQUIRE(whole.tensors.size() == parts.tensors.size());
  int targets = 0;
  for (const NamedTensor& t : whole.tensors) {
    const Tensor& u = parts.at(t.name);
    REQUIRE(t.tensor.bytes() == u.bytes());
    CHECK_MESSAGE(std::memcmp(t.tensor.in().data, u.in().data, static_cast<size_t>(u.bytes())) == 0, t.name);
    targets += t.name.starts_with("task.target.");
  }
  CHECK(targets > 20);
}

TEST_CASE("BYOL: views differ in blur and solarize alone, and the target begins as the online network") {
  struct Open : Byol {
    using Byol::views;
  } task;
  task.augment.blur = 1;
  task.blur_second = 0.1;
  task.solarize_second = 0.2;
  const auto views = task.views();
  REQUIRE(views.size() == 2);
  CHECK(views[0].blur == 1.0f);
  CHECK(views[1].blur == 0.1f);
  CHECK(views[0].solarize == 0.0f);
  CHECK(views[1].solarize == 0.2f);
  CHECK(views[0].grayscale == views[1].grayscale);

  task.image_size = 16;
  task.model = {.model = "resnet10", .stem = "cifar", .width = 4};
  Random random(1);
  task.build(random);
  CHECK(parts(task.encoder()).size() > 10);
  for (size_t i = 0; const NamedPart& p : parts(*task.target().encoder))
    CHECK(p.tensor.values() == parts(task.encoder())[i++].tensor.values());
}

}  // namespace gestalt::test
