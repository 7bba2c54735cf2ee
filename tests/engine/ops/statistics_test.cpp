// VICReg's terms, Barlow Twins' loss and soft cross-entropy against PyTorch, on one thread and on three, inside a
// captured graph.
#include <doctest/doctest.h>

#include <functional>

#include "engine/ops/batch_norm.h"
#include "engine/ops/covariance.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "engine/ops/rows.h"
#include "engine/ops/soft_cross_entropy.h"
#include "engine/tensor/graph.h"
#include "engine/tensor/step_number.h"
#include "tests/devices.h"
#include "tests/engine/ops/op_table.h"
#include "tests/golden_step.h"
#include "tests/method_goldens.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

std::vector<double> golden(const std::string& key) { return golden_values("views.json", key); }

// The records' a, b and logits: three times the cosines with seven prototypes.
struct Records {
  Tensor a = S_leaf({4, 6}, 0.3), b = S_leaf({4, 6}, 1.1);
  Tensor centre = S({7}, 0.2, 0.1);

  static Tensor logits(const Tensor& x) { return scale(linear(normalize(x), normalize(S({7, 6}, 0.9))), 3); }
  Tensor student() const { return logits(a); }
  Tensor teacher() const { return logits(b.detach()); }
};

Tensor random(const Shape& shape, uint64_t seed, DType dtype = DType::f32) {
  return draw_inputs({{.shape = shape, .differentiable = false}}, dtype, seed)[0];
}

}  // namespace

TEST_CASE("statistics: the terms of VICReg and their gradients equal PyTorch's") {
  Records r;
  const Tensor variance = add(variance_hinge(r.a), variance_hinge(r.b));
  const Tensor covariance = add(covariance_loss(r.a), covariance_loss(r.b));
  const std::vector<double> parts = golden("vicreg_parts");
  CHECK(mean_squared(r.a, r.b).item() == doctest::Approx(parts[0]).epsilon(1e-9));
  CHECK(variance.item() / 2 == doctest::Approx(parts[1]).epsilon(1e-9));
  CHECK(covariance.item() == doctest::Approx(parts[2]).epsilon(1e-9));
  const Tensor invariance = scale(mean_squared(r.a, r.b), 25);
  check_golden(add(add(invariance, scale(variance, 12.5)), covariance), {r.a, r.b}, golden("vicreg"));

  Records whole;
  const Tensor hinges = scale(add(variance_hinge(whole.a), variance_hinge(whole.b)), 25);
  const Tensor rest = add(covariance_loss(whole.a), covariance_loss(whole.b));
  check_golden(add(add(scale(mean_squared(whole.a, whole.b), 25), hinges), rest), {whole.a},
               golden("vicreg_not_halved"));
}

TEST_CASE("statistics: Barlow Twins' loss, its health terms and gradients equal PyTorch's") {
  Records r;
  const Tensor one = Tensor::full({6}, 1, DType::f64), zero = Tensor::zeros({6}, DType::f64);
  const auto standard = [&](const Tensor& x) { return batch_norm(x, one, zero, zero.clone(), one.clone()); };
  const auto [loss, diagonal, redundancy] = cross_correlation(standard(r.a), standard(r.b), 0.0051);
  const std::vector<double> health = golden_values("contrast.json", "barlow_health");
  CHECK(diagonal.item() == doctest::Approx(health[0]).epsilon(1e-9));
  CHECK(redundancy.item() == doctest::Approx(health[1]).epsilon(1e-9));
  check_golden(loss, {r.a, r.b}, golden_values("contrast.json", "barlow"));
}

TEST_CASE("statistics: soft_cross_entropy, its health terms and gradients equal PyTorch's") {
  const Records rows, views, crops, given, weighted;
  const auto by_rows =
      soft_cross_entropy(rows.student(), rows.teacher(), 4, {.centre = rows.centre, .same_view = true});
  const std::vector<double> health = golden("dino_rows_health");
  CHECK(by_rows.target_entropy.item() == doctest::Approx(health[0]).epsilon(1e-6));
  CHECK(by_rows.kl.item() == doctest::Approx(health[1]).epsilon(1e-9));
  check_golden(by_rows.loss, {rows.a}, golden("dino_rows"));

  const auto two = soft_cross_entropy(views.student(), views.teacher(), 2, {.centre = views.centre});
  check_golden(two.loss, {views.a}, golden("dino_two_views"));
  // One image: four views, two of them the teacher's.
  const auto four = soft_cross_entropy(crops.student(), crops.teacher().slice(0, 2), 1, {.centre = crops.centre});
  check_golden(four.loss, {crops.a}, golden("dino_crops"));

  const Tensor probabilities = softmax(S({4, 7}, 0.7, 2));
  const auto of = soft_cross_entropy(given.student(), probabilities, 2, {.probabilities = true});
  CHECK(of.target_entropy.item() == doctest::Approx(golden("probabilities_health")[0]).epsilon(1e-9));
  CHECK(of.kl.item() == doctest::Approx(golden("probabilities_health")[1]).epsilon(1e-9));
  check_golden(of.loss, {given.a}, golden("probabilities"));
  const auto by_weight = soft_cross_entropy(weighted.student(), probabilities, 4,
                                            {.weights = S({4}, 0.5), .probabilities = true, .same_view = true});
  check_golden(by_weight.loss, {weighted.a}, golden("weighted"));
}

TEST_CASE("statistics: the centre moves as PyTorch's, and backward takes the one that the loss saw") {
  Records r;
  Tensor centre = r.centre.clone();
  const auto out = soft_cross_entropy(r.student(), r.teacher(), 4, {.centre = centre, .same_view = true});
  update_centre(centre, r.teacher());
  check_values(centre, golden("dino_centre"));
  check_golden(out.loss, {r.a}, golden("dino_rows"));
}

TEST_CASE("statistics: losses are bitwise the same on one thread and on three") {
  const Tensor x = random({300, 700}, 3), y = random({300, 700}, 4);
  Tensor centre = Tensor::zeros({700});
  const auto run = [&](int count) {
    const Threads threads(count);
    Tensor z = x.clone().require_grad();
    const Tensor terms =
        add(add(add(mean_squared(z, y), variance_hinge(z)), covariance_loss(z)), cross_correlation(z, y, 0.01).loss);
    const auto soft = soft_cross_entropy(z, y.slice(0, 200), 100, {.centre = centre});
    add(terms, soft.loss).backward();
    Tensor moved = centre.clone();
    update_centre(moved, y);
    std::vector<float> all = z.grad().values();
    for (const Tensor& t : {terms, soft.loss, soft.kl, soft.target_entropy, moved}) {
      const std::vector<float> values = t.values();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  const std::vector<float> one = run(1);
  CHECK(run(3) == one);
  CHECK(run(2) == one);
}

TEST_CASE("statistics: centre and temperature on every device are those of the step") {
  const Tensor student = random({6, 12}, 5), teacher = random({4, 12}, 6);
  for (Device device : devices()) {
    CAPTURE(name(device));
    for (DType dtype : {DType::f32, DType::bf16}) {
      const Tensor s = student.to(dtype).to(device), t = teacher.to(dtype).to(device);
      StepNumber<double> temperature;
      temperature.set(0.3, device);
      const auto placed = soft_cross_entropy(s, t, 2, {.target_temperature = temperature.get()});
      const auto fixed = soft_cross_entropy(s, t, 2, {.target_temperature = 0.3});
      CHECK(placed.loss.item() == fixed.loss.item());
      temperature.set(0.05, device);
      CHECK(soft_cross_entropy(s, t, 2, {.target_temperature = temperature.get()}).loss.item() != fixed.loss.item());

      Tensor centre = Tensor::full({12}, 0.5).to(device);
      update_centre(centre, t, 0.75);
      const std::vector<double> rows = t.values64();
      std::vector<double> expected(12, 0.375);
      for (size_t i = 0; i < rows.size(); ++i) expected[i % 12] += 0.25 * rows[i] / 4;
      check_values(centre, expected, 1e-6);
    }
  }
}

TEST_CASE("statistics: a captured step, backward after the centre has moved, repeats the direct one" *
          doctest::skip(without_cuda)) {
  const Tensor teacher = random({4, 12}, 6).to(Device::cuda);
  Tensor student = random({6, 12}, 5).to(Device::cuda).detach().require_grad();
  Tensor centre = Tensor::zeros({12}).to(Device::cuda), loss;
  StepNumber<double> temperature;
  temperature.set(0.3, Device::cuda);
  const auto step = [&] {
    const auto out =
        soft_cross_entropy(student, teacher, 2, {.target_temperature = temperature.get(), .centre = centre});
    update_centre(centre, teacher);
    student.set_grad({});
    out.loss.backward();
    loss = out.loss.detach();
  };
  const auto run = [&](const std::function<void()>& once) {
    std::vector<float> all;
    centre.fill(0);
    for (double t : {0.3, 0.2, 0.1}) {
      temperature.set(t, Device::cuda);
      once();
      for (const Tensor& x : {loss, centre, student.grad()})
        for (float v : x.values()) all.push_back(v);
    }
    return all;
  };
  const std::vector<float> direct = run(step);
  Graph graph;
  graph.capture(step);
  CHECK(run([&] { graph.launch(); }) == direct);
}

TEST_CASE("statistics: update_centre refuses what does not fit") {
  Tensor centre = Tensor::zeros({3});
  CHECK_THROWS_WITH_AS(update_centre(centre, Tensor::zeros({2, 4})), doctest::Contains("[update_centre]"), Error);
}

}  // namespace gestalt::test
