// BYOL as a run: collapse without a predictor, which the run must say, and a resume in bf16 with the target's shadows.
#include <doctest/doctest.h>

#include <cstring>
#include <map>

#include "engine/tensor/safetensors.h"
#include "tasks/training/image_method.h"
#include "tasks/training/run.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {

TEST_CASE("BYOL: without its predictor it collapses, and the run says so; with it neither") {
  const TemporaryFolder folder;
  for (const bool predictor : {true, false}) {
    CAPTURE(predictor);
    const std::unique_ptr<Method> method = tiny_method("byol");
    set_fields(*method, "test", predictor ? "epochs = 12" : "epochs = 12\npredictor = false");
    const PretrainResult result = pretrain(*method, {.out = folder / (predictor ? "with" : "without"), .quiet = true});
    CHECK(result.collapsed == !predictor);
    CHECK((method->collapse_cure().find("--no-predictor") != std::string::npos) == !predictor);
  }
}

TEST_CASE("BYOL: a bf16 run resumes bit for bit, target and all") {
  const TemporaryFolder folder;
  const auto tiny = [] { return tiny_method("byol", DType::bf16); };
  pretrain(*tiny(), {.out = folder / "whole", .quiet = true});
  CHECK(pretrain(*tiny(), {.out = folder / "parts", .quiet = true, .stop_after = 5}).interrupted);
  pretrain(*method_of_run(folder / "parts"), {.resume = folder / "parts", .quiet = true});
  const SafetensorsFile whole = read_safetensors(folder / "whole/checkpoint.safetensors");
  const SafetensorsFile parts = read_safetensors(folder / "parts/checkpoint.safetensors");
  REQUIRE(whole.tensors.size() == parts.tensors.size());
  int targets = 0;
  for (const NamedTensor& t : whole.tensors) {
    const Tensor& u = parts.at(t.name);
    REQUIRE(t.tensor.bytes() == u.bytes());
    CHECK_MESSAGE(std::memcmp(t.tensor.in().data, u.in().data, static_cast<size_t>(u.bytes())) == 0, t.name);
    targets += t.name.starts_with("method.target.");
  }
  CHECK(targets > 20);
}

TEST_CASE("BYOL: views differ in blur and solarize alone, and the target begins as the online network") {
  const std::unique_ptr<Method> method = make_method("byol");
  set_fields(
      *method, "test",
      "blur = 1\nblur-second = 0.1\nsolarize-second = 0.2\nsize = 16\nmodel = resnet10\nstem = cifar\nwidth = 4");
  REQUIRE(method->wants().groups.size() == 1);
  const std::vector<kernels::AugmentParameters> views = method->wants().groups[0].views;
  REQUIRE(views.size() == 2);
  CHECK(views[0].blur == 1.0f);
  CHECK(views[1].blur == 0.1f);
  CHECK(views[0].solarize == 0.0f);
  CHECK(views[1].solarize == 0.2f);
  CHECK(views[0].grayscale == views[1].grayscale);

  Random random(1);
  method->build(random);
  std::map<std::string, Tensor> all;
  for (const NamedPart& p : parts(*method)) all[p.name] = p.tensor;
  int targets = 0;
  for (const auto& [name, target] : all) {
    if (!name.starts_with("target.")) continue;
    const std::string& part = name;
    CHECK_MESSAGE(target.values() == all.at(part.substr(7)).values(), part);
    ++targets;
  }
  CHECK(targets > 10);
}

}  // namespace gestalt::test
