// Contrast against many negatives: PyTorch's values, NT-Xent as a special case, threads, degenerate batches, memory.
#include "engine/ops/info_nce.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "engine/ops/contrast.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/allocator.h"
#include "tests/devices.h"
#include "tests/engine/ops/op_table.h"
#include "tests/golden_step.h"
#include "tests/method_goldens.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

std::vector<double> golden(const std::string& key) { return golden_values("contrast.json", key); }

struct Records {
  Tensor a = S_leaf({4, 6}, 0.3), b = S_leaf({4, 6}, 1.1), bank = normalize(S({5, 6}, 2.3));
};

Tensor random(const Shape& shape, uint64_t seed) { return draw_inputs({activation(shape)}, DType::f32, seed)[0]; }

}  // namespace

TEST_CASE("info_nce: MoCo's, MoCo v3's and NNCLR's losses and gradients equal PyTorch's") {
  Records moco, third, nearest, both;
  const ContrastLoss queued =
      info_nce(moco.a, moco.b.detach(), {.temperature = 0.2, .negatives = moco.bank, .batch_negatives = false});
  CHECK(queued.accuracy.item() == golden("moco_accuracy")[0]);
  check_golden(queued.loss, {moco.a}, golden("moco"));
  check_golden(scale(info_nce(third.a, third.b.detach(), {.temperature = 0.2}).loss, 0.4), {third.a},
               golden("moco_v3"));
  std::vector<int32_t> picked;
  for (double i : golden("neighbours")) picked.push_back(static_cast<int32_t>(i));
  const Tensor neighbours = embedding(nearest.bank, Tensor::from(picked, {4}));
  check_golden(info_nce(neighbours, nearest.b, {.temperature = 0.1}).loss, {nearest.b}, golden("nnclr"));
  check_golden(info_nce(both.a, both.b, {.temperature = 0.3, .negatives = both.bank}).loss, {both.a, both.b},
               golden("both"));
}

TEST_CASE("info_nce: decoupled, hard, debiased and supervised contrast and their gradients equal PyTorch's") {
  const auto compare = [](const char* key, const PairContrastOptions& options) {
    CAPTURE(key);
    Records r;
    check_golden(pair_contrast(concat(r.a, r.b), options).loss, {r.a, r.b}, golden(key));
  };
  compare("nt_xent", {});
  compare("dcl", {.decoupled = true});
  compare("dclw", {.decoupled = true, .weight_temperature = 0.5});
  compare("hcl", {.beta = 1, .tau_plus = 0.1});
  compare("debiased", {.tau_plus = 0.1});
  compare("supcon", {.temperature = 0.1, .labels = Tensor::from(std::vector<int32_t>{0, 0, 1, 2}, {4})});
}

TEST_CASE("info_nce: pair_contrast without options is nt_xent") {
  const Tensor x = random({300, 40}, 5);
  Tensor one = x.detach().clone().require_grad(), other = x.detach().clone().require_grad();
  const Tensor a = nt_xent(one, 0.2), b = pair_contrast(other, {.temperature = 0.2}).loss;
  add(a, b).backward();
  CHECK(b.item() == doctest::Approx(a.item()).epsilon(1e-5));
  CHECK(relative_error(other.grad(), one.grad()) < 1e-5);
}

TEST_CASE("info_nce: the same bits on one thread, on three and again; a queue may move before backward") {
  const Tensor x = random({200, 30}, 5), keys = random({200, 30}, 6), queue = normalize(random({700, 30}, 7)).detach();
  const auto step = [&](int count) {
    const Threads threads(count);
    Tensor q = x.detach().clone().require_grad(), k = keys.detach().clone().require_grad(), held = queue.clone();
    const Tensor loss = info_nce(q, k, {.temperature = 0.1, .negatives = held}).loss;
    held.fill(0);
    loss.backward();
    std::vector<float> all = q.grad().values();
    for (float v : k.grad().values()) all.push_back(v);
    all.push_back(static_cast<float>(loss.item()));
    return all;
  };
  const std::vector<float> one = step(1);
  CHECK(step(3) == one);
  CHECK(step(3) == one);
  Tensor q = x.detach().clone().require_grad();
  info_nce(q, keys.detach(), {.temperature = 0.1, .negatives = queue}).loss.backward();
  CHECK(std::equal(one.begin(), one.begin() + q.count(), q.grad().values().begin()));
}

TEST_CASE("info_nce: degenerate batches stay finite") {
  for (const PairContrastOptions& o :
       {PairContrastOptions{.temperature = 0.05}, PairContrastOptions{.temperature = 0.05, .decoupled = true},
        PairContrastOptions{.temperature = 0.05, .beta = 1, .tau_plus = 0.1}}) {
    Tensor equal = Tensor::full({140, 9}, -0.3).require_grad();
    const Tensor loss = pair_contrast(equal, o).loss;
    loss.backward();
    CHECK(std::isfinite(loss.item()));
    for (float g : equal.grad().values()) CHECK(std::abs(g) < 1e-3f);
    Tensor nothing = Tensor::zeros({8, 5}).require_grad();
    pair_contrast(nothing, o).loss.backward();
    CHECK(nothing.grad().values() == std::vector<float>(40, 0.0f));
  }
}

TEST_CASE("info_nce: of 1024 rows against 16384 holds less than 36 MB") {
  const Tensor q = random({1024, 128}, 1), k = random({1024, 128}, 2).detach(), queue = random({16384, 128}, 3);
  const size_t before = allocator_stats(Device::cpu).in_use;
  reset_peak(Device::cpu);
  info_nce(q, k, {.negatives = queue, .batch_negatives = false}).loss.backward();
  CHECK(allocator_stats(Device::cpu).peak - before < 36'000'000);  // its similarities alone would be 67 MB
}

TEST_CASE("view_accuracy on every device: of the first images, whose own second view is the nearest of all") {
  // Angles of the first views, then of the second: that of image 1, at 40, is nearer to image 0's, at 10, than to its
  // own.
  const std::vector<double> degrees{0, 40, 90, 200, 10, 80, 95, 210}, nearest{1, 0, 1, 1};
  std::vector<double> rows;
  for (double angle : degrees) {
    const double radians = angle * std::numbers::pi / 180, length = 1 + angle * angle / 900;
    rows.insert(rows.end(), {length * std::cos(radians), length * std::sin(radians)});
  }
  double right = 0;
  for (int images = 1; images <= 4; ++images) {
    right += nearest[static_cast<size_t>(images - 1)];
    for (Device device : devices()) {
      const Tensor z = Tensor::from(rows, {8, 2}).to(DType::f32).to(device);
      CHECK(view_accuracy(z, images).item() == doctest::Approx(right / images));
    }
  }
  CHECK_THROWS_WITH_AS(view_accuracy(Tensor::zeros({2, 4})), doctest::Contains("of two images or more"), Error);
}

}  // namespace gestalt::test
