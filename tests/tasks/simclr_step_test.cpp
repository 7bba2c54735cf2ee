// One SimCLR step of a ResNet-18 against PyTorch: loss and every gradient tensor.
#include <doctest/doctest.h>

#include "engine/nn/arena.h"
#include "engine/ops/contrast.h"
#include "models/heads.h"
#include "models/resnet.h"
#include "tests/devices.h"
#include "tests/golden_step.h"

namespace gestalt::test {
namespace {

struct Model : Module {
  Random random{1};
  std::unique_ptr<Encoder> encoder = make_encoder({.model = "resnet18", .stem = "cifar", .width = 64}, 16, random);
  MlpHead head{512, 512, 128, 2, true, random};
  void visit(Visitor& v) override {
    v("encoder", *encoder);
    v("head", head);
  }
};

}  // namespace

TEST_CASE("SimCLR step of ResNet-18 on every device: loss and every gradient equal PyTorch's") {
  const char* record = "simclr_step.json";
  std::vector<double> pixels = hash_uniform(golden_text(record, "views"), 8 * 16 * 16 * 3);
  for (double& p : pixels) p += 0.5;
  for (Device device : devices()) {
    CAPTURE(name(device));
    Model model;
    fill_by_formula(model);
    ParameterArena arena(model, device, DType::f32);
    const Tensor views = Tensor::from(pixels, {8, 16, 16, 3}).to(DType::f32).to(device);
    const Tensor loss = nt_xent(model.head(model.encoder->forward(views, true), true), 0.5);
    loss.backward();
    const StepErrors errors = compare_step(record, loss.item(), model);
    CHECK(errors.loss < 1e-5);
    const GradientError worst = errors.worst();
    MESSAGE("largest relative gradient error: ", worst.error, " in ", worst.name, ", of ", errors.gradients.size());
    for (const GradientError& g : errors.gradients) CHECK_MESSAGE(g.error < 1e-4, g.name);
  }
}

}  // namespace gestalt::test
