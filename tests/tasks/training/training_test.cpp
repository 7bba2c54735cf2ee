// The one step on methods whose steps are known in closed form: networks in turn, teachers, scheduled numbers, batches.
#include "tasks/training/training.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "engine/ops/pointwise.h"

namespace gestalt::test {
namespace {

// What a batch holds here is its number.
class Counting : public Feed {
 public:
  Batch at(int64_t step, PhaseClock& clock) override {
    clock.enter(Phase::data);
    asked.push_back(step);
    Batch batch;
    batch.views = {Tensor::full({1}, static_cast<double>(step))};
    return batch;
  }
  int64_t steps_per_epoch() const override { return 10; }
  int64_t items_per_step() const override { return 1; }
  std::string describe() const override { return "numbers"; }

  std::vector<int64_t> asked;
};

Tensor half_square(const Tensor& x) { return scale(sum(multiply(x, x)), 0.5); }

class Toy : public Method {
 public:
  Toy() {
    run.device = "cpu";
    run.dtype = "f32";
    run.steps = 4;
    optimizer = {.rate = 0.1, .rate_scaling = "none", .momentum = 0, .decay = 0, .final_rate = 1};
  }
  Modality modality() const override { return Modality::images; }
  Wants wants() const override { return {}; }
  std::unique_ptr<Feed> open() override { return nullptr; }
  std::string export_to(const std::string&) override { return {}; }
};

// The first network's loss is ½(a − b)², the second's ½(a + b)²; a part learns from its own network's loss alone.
class Duel : public Toy {
 public:
  void build(Random&) override {
    a = Tensor::full({1}, 1).require_grad();
    b = Tensor::full({1}, 3).require_grad();
  }
  std::vector<Network> networks() const override {
    OptimizerOptions slow = optimizer;
    slow.rate = 0.05;
    return {{"first", "a", optimizer}, {"second", "b", slow}};
  }
  Loss loss(const Batch&, const StepInfo& info) override {
    turns.push_back(info.network);
    if (info.network == 0) return {half_square(subtract(a, b)), {}, {{"apart", subtract(b, a)}}};
    return {half_square(add(a, b)), {}};
  }
  void visit(Visitor& v) override {
    v("a", a);
    v("b", b);
  }

  Tensor a, b;
  std::vector<size_t> turns;
};

struct Weight : Module {
  Tensor w;
  void visit(Visitor& v) override { v("w", w); }
};

// Follows the batch: the loss is ½(w − x)² for the batch x. A teacher follows at half of the way.
class Follow : public Toy {
 public:
  void build(Random&) override {
    student.w = Tensor::full({1}, 8).require_grad();
    teacher.w = Tensor::full({1}, 4);
  }
  void plan(Plan& p) override {
    p.teacher(teacher, student, Schedule::constant(0.5));
    p.schedule(temperature, Schedule::linear(1, 0, p.steps_of(0.4)));
    steps_in_two_epochs = p.steps_of(2);
    total_steps = p.total_steps;
  }
  Loss loss(const Batch& batch, const StepInfo& info) override {
    temperatures.push_back(temperature.value());
    infos.push_back(info);
    return {half_square(subtract(student.w, batch.views[0])), {}};
  }
  void visit(Visitor& v) override {
    v("student", student);
    v.state("teacher", teacher);
  }

  Weight student, teacher;
  Scheduled temperature;
  std::vector<double> temperatures;
  std::vector<StepInfo> infos;
  int64_t steps_in_two_epochs = 0, total_steps = 0;
};

// The gradient is 1, or 3 at each second step, and 1000 at the steps named.
class Spikes : public Toy {
 public:
  void build(Random&) override { w = Tensor::full({1}, 0).require_grad(); }
  Loss loss(const Batch& batch, const StepInfo&) override {
    const auto step = static_cast<int64_t>(batch.views[0].item());
    return {scale(sum(w), step == 130 || step == 140 ? 1000 : step % 2 == 0 ? 1 : 3), {}};
  }
  void visit(Visitor& v) override { v("w", w); }

  Tensor w;
};

struct Started {
  Counting feed;
  PhaseClock clock;
  std::unique_ptr<Training> training;
  explicit Started(Method& method) {
    Random random(1);
    method.build(random);
    training = std::make_unique<Training>(method, feed, clock);
  }
};

}  // namespace

TEST_CASE("training: networks learn in turn, each from its own loss and from what the one before has become") {
  Duel method;
  Started started(method);
  double a = 1, b = 3;
  for (int step = 0; step < 4; ++step) {
    const std::vector<Training::Scalars> scalars = started.training->step();
    REQUIRE(scalars.size() == 1);
    const double first = 0.5 * (a - b) * (a - b), apart = b - a;
    a -= 0.1 * (a - b);
    const double second = 0.5 * (a + b) * (a + b), norm = std::hypot(apart, a + b);
    b -= 0.05 * (a + b);  // and not by what the first loss sent through it
    CHECK(method.a.item() == doctest::Approx(a).epsilon(1e-6));
    CHECK(method.b.item() == doctest::Approx(b).epsilon(1e-6));
    CHECK(started.training->gradient_norm() == doctest::Approx(norm).epsilon(1e-5));
    const std::pair<const char*, double> expected[] = {
        {"loss", first + second}, {"first", first}, {"apart", apart}, {"second", second}};
    REQUIRE(scalars[0].size() == 4);
    for (size_t i = 0; i < 4; ++i) {
      CHECK(scalars[0][i].first == expected[i].first);
      CHECK(scalars[0][i].second.item() == doctest::Approx(expected[i].second).epsilon(1e-5));
    }
  }
  CHECK(method.turns == std::vector<size_t>{0, 1, 0, 1, 0, 1, 0, 1});
  CHECK(started.feed.asked == std::vector<int64_t>{0, 1, 2, 3});  // one batch a step serves both
  std::vector<std::string> names;
  for (const auto& [name, tensor] : started.training->state()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"method.a", "method.b", "optimizer.first.first_moment",
                                          "optimizer.second.first_moment"});
}

TEST_CASE("training: networks in turn refuse --accumulate") {
  Duel method;
  method.run.accumulate = 2;
  CHECK_THROWS_WITH_AS(Started{method}, doctest::Contains("--accumulate 2, expected 1"), Error);
}

TEST_CASE("training: the gradients of accumulated batches are averaged, and each batch has its number") {
  Follow method;
  method.run.accumulate = 3;
  Started started(method);
  double w = 8;
  for (int step = 0; step < 3; ++step) {
    const std::vector<Training::Scalars> scalars = started.training->step();
    REQUIRE(scalars.size() == 3);
    for (int i = 0; i < 3; ++i)
      CHECK(scalars[static_cast<size_t>(i)][0].second.item() ==
            doctest::Approx(0.5 * (w - 3 * step - i) * (w - 3 * step - i)).epsilon(1e-5));
    w -= 0.1 * (w - (3 * step + 1));
    CHECK(method.student.w.item() == doctest::Approx(w).epsilon(1e-6));
  }
  CHECK(started.training->steps_per_epoch() == 3);
  for (size_t i = 0; i < method.infos.size(); ++i) {
    CHECK(method.infos[i].batch.value == i);
    CHECK(method.infos[i].step == static_cast<int64_t>(i / 3));
    CHECK(method.infos[i].total_steps == 4);
  }
  method.run.accumulate = 11;
  CHECK_THROWS_WITH_AS(Started{method}, doctest::Contains("--accumulate 11; use a smaller one"), Error);
}

TEST_CASE("training: a teacher follows after the update, and scheduled numbers are those of the step") {
  Follow method;
  Started started(method);
  CHECK(method.steps_in_two_epochs == 20);
  CHECK(method.total_steps == 4);
  double w = 8, t = 4;
  for (int step = 0; step < 4; ++step) {
    started.training->step();
    w -= 0.1 * (w - step);
    t = 0.5 * t + 0.5 * w;
    CHECK(method.student.w.item() == doctest::Approx(w).epsilon(1e-6));
    CHECK(method.teacher.w.item() == doctest::Approx(t).epsilon(1e-6));
    CHECK(started.training->rate() == doctest::Approx(0.1));
    CHECK(method.temperatures.back() == doctest::Approx(Schedule::linear(1, 0, 4).at(step)));
  }
  CHECK(method.temperatures.front() == 1);
  CHECK(method.temperatures.back() < 0.5);
}

TEST_CASE("training: its state, written into another training, goes on with the same bits") {
  Follow method, other;
  method.optimizer.momentum = other.optimizer.momentum = 0.9;
  Started started(method), resumed(other);
  for (int step = 0; step < 2; ++step) started.training->step();
  const auto from = started.training->state(), to = resumed.training->state();
  for (size_t i = 0; i < to.size(); ++i) Tensor(to[i].second).copy_from(from[i].second);
  resumed.training->restored(2);
  for (int step = 0; step < 2; ++step) {
    started.training->step();
    resumed.training->step();
  }
  CHECK(other.student.w.item() == method.student.w.item());
  CHECK(other.teacher.w.item() == method.teacher.w.item());
  CHECK(resumed.feed.asked == std::vector<int64_t>{2, 3});
  CHECK(other.temperatures == std::vector<double>(method.temperatures.begin() + 2, method.temperatures.end()));
}

TEST_CASE("training: a student without trained parts is refused") {
  struct Stray : Follow {
    Weight other;
    void plan(Plan& p) override { p.teacher(teacher, other, Schedule::constant(0.5)); }
  } method;
  method.other.w = Tensor::full({1}, 1);
  CHECK_THROWS_WITH_AS(Started{method}, doctest::Contains("a student without trained parts"), Error);
}

TEST_CASE(
    "training: a step whose gradient is an outlier changes nothing but its count, and the norms are in the state") {
  Spikes method;
  method.run.steps = 150;
  method.optimizer.skip_outliers = 6;
  Started started(method);
  double w = 0;
  for (int64_t step = 0; step < 150; ++step) {
    started.training->step();
    if (step == 130 || step == 140) {
      CHECK(started.training->gradient_norm() == doctest::Approx(1000));
    } else {
      w -= 0.1 * (step % 2 == 0 ? 1 : 3);
    }
    CHECK(method.w.item() == doctest::Approx(w).epsilon(1e-5));
  }
  CHECK(started.training->skipped() == 2);
  const auto state = started.training->state();
  CHECK(std::any_of(state.begin(), state.end(), [](const auto& entry) { return entry.first == "optimizer.norms"; }));
}

}  // namespace gestalt::test
