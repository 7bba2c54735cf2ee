// The moving-average teacher: parts by name, update, shadows, averaged states, and what a teacher may be.
#include "engine/nn/teacher.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/nn/layers.h"
#include "engine/nn/schedule.h"
#include "tests/devices.h"
#include "tests/launches.h"

namespace gestalt::test {
namespace {

struct Followed : Module {
  Linear first;
  BatchNorm norm;
  Tensor steps = Tensor::from(std::vector<int32_t>{5}, {1});
  bool norm_first = false;
  explicit Followed(Random& random) : first(5, 7, random), norm(7) {}
  void visit(Visitor& v) override {
    if (norm_first) v("norm", norm);
    v("first", first);
    if (!norm_first) v("norm", norm);
    v.state("steps", steps);
  }
};

// A student that has more than its teacher, visited before, between or after what has a teacher.
struct Student : Module {
  Followed followed;
  Linear extra;
  int extra_at = 2;
  explicit Student(Random& random) : followed(random), extra(7, 3, random) {}
  void visit(Visitor& v) override {
    if (extra_at == 0) v("extra", extra);
    v("first", followed.first);
    if (extra_at == 1) v("extra", extra);
    v("norm", followed.norm);
    v.state("steps", followed.steps);
    if (extra_at == 2) v("extra", extra);
  }
};

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double m = 0;
  for (size_t i = 0; i < a.size(); ++i) m = std::max(m, std::abs(a[i] - b[i]));
  return m;
}

std::vector<double> mixed(double m, const std::vector<double>& teacher, const std::vector<double>& student) {
  std::vector<double> r(teacher.size());
  for (size_t i = 0; i < r.size(); ++i) r[i] = m * teacher[i] + (1 - m) * student[i];
  return r;
}

}  // namespace

TEST_CASE("teacher, every device: m·teacher + (1−m)·student in one buffer, shadows and all; states are its own") {
  for (const Device device : devices())
    for (const DType compute : {DType::f32, DType::bf16}) {
      CAPTURE(name(device));
      CAPTURE(name(compute));
      Random random(1);
      Student student(random);
      Followed teacher(random);  // other weights
      ParameterArena arena(student, device, compute);
      const std::vector<double> before = teacher.first.weight.values64();
      Teacher ema;
      ema.attach(teacher, student, arena);
      CHECK(teacher.first.weight.device() == device);
      CHECK(teacher.norm.running_mean.device() == device);
      CHECK(teacher.first.weight.values64() == before);
      CHECK(teacher.first.weight.same_storage(teacher.norm.bias));
      CHECK_FALSE(teacher.first.weight.same_storage(teacher.norm.running_mean));
      CHECK_FALSE(teacher.first.weight.requires_grad());
      student.followed.norm.running_mean.fill(3);
      ema.update(0.75);
      const std::vector<double> expected = mixed(0.75, before, student.followed.first.weight.values64());
      CHECK(largest_difference(teacher.first.weight.values64(), expected) < 1e-7);
      CHECK(teacher.norm.running_mean.values64()[0] == 0);

      // Weights written by others, as by a checkpoint, reach the shadows with the next attach.
      const auto shadows_hold = [&] {
        return compute == DType::f32 ||
               teacher.first.weight.shadow().values() == teacher.first.weight.to(DType::bf16).values();
      };
      CHECK(shadows_hold());
      teacher.first.weight.fill(0.3);
      if (compute == DType::bf16) CHECK_FALSE(shadows_hold());
      ema.attach(teacher, student, arena);
      CHECK(shadows_hold());
      CHECK(teacher.first.weight.values()[0] == 0.3f);
    }
}

TEST_CASE("teacher, every device: the order of visit is irrelevant; neighbours in the arena are one launch") {
  for (const Device device : devices())
    for (const bool norm_first : {false, true})
      for (const int extra_at : {0, 1, 2}) {
        CAPTURE(norm_first);
        CAPTURE(extra_at);
        Random random(1);
        Student student(random);
        Followed teacher(random);
        student.extra_at = extra_at;
        teacher.norm_first = norm_first;
        ParameterArena arena(student, device, DType::bf16);
        teacher.norm.bias.fill(0.5);
        student.followed.norm.bias.fill(2);
        const std::vector<double> weight = teacher.first.weight.values64(), bias = teacher.first.bias.values64();
        Teacher ema;
        ema.attach(teacher, student, arena);
        {
          const Launches launches("EmaStep");
          ema.update(0.9);
          CHECK(launches.count == (extra_at == 1 ? 2 : 1));
        }
        const Followed& s = student.followed;
        CHECK(largest_difference(teacher.first.weight.values64(), mixed(0.9, weight, s.first.weight.values64())) <
              1e-7);
        CHECK(largest_difference(teacher.first.bias.values64(), mixed(0.9, bias, s.first.bias.values64())) < 1e-7);
        CHECK(teacher.norm.bias.values64()[6] == doctest::Approx(0.65));
        CHECK(teacher.norm.weight.values64()[6] == doctest::Approx(1));
        CHECK(teacher.norm.bias.shadow().values() == teacher.norm.bias.to(DType::bf16).values());
      }
}

TEST_CASE("teacher, every device: of one network among several, by an arena that holds more") {
  for (const Device device : devices()) {
    Random random(1);
    struct Networks : Module {
      Followed a, b;
      explicit Networks(Random& r) : a(r), b(r) {}
      void visit(Visitor& v) override {
        v("a", a);
        v("b", b);
      }
    } networks(random);
    Followed of_a(random), of_b(random);
    const auto in_a = [](const std::string& part) { return part.starts_with("a."); };
    ParameterArena all(networks, device, DType::f32);
    Teacher one, other;
    one.attach(of_a, networks.a, all);
    other.attach(of_b, networks.b, all);
    networks.b.first.weight.fill(7);
    one.update(0.0);
    other.update(0.0);
    CHECK(of_a.first.weight.values64() == networks.a.first.weight.values64());
    CHECK(of_b.first.weight.values64() == networks.b.first.weight.values64());

    ParameterArena first(networks, device, DType::f32, in_a);
    CHECK_THROWS_AS(one.attach(of_b, networks.b, first), Error);  // its parts lie in the other arena
    one.attach(of_a, networks.a, first);
    networks.a.first.weight.fill(5);
    one.update(0.5);
    CHECK(of_a.first.weight.values64() != networks.a.first.weight.values64());
    one.update(0.0);
    CHECK(of_a.first.weight.values()[0] == 5);
  }
}

TEST_CASE("teacher, every device: with buffers, running statistics are averaged too, counts are not") {
  for (const Device device : devices()) {
    CAPTURE(name(device));
    Random random(1);
    Student student(random);
    Followed teacher(random), second(random);
    ParameterArena arena(student, device, DType::bf16);
    student.followed.norm.running_mean.fill(4);
    student.followed.norm.running_var.fill(3);
    student.followed.steps.fill(9);
    Teacher ema, beside;
    ema.attach(teacher, student, arena, true);
    beside.attach(second, student, arena, true);
    CHECK(student.followed.norm.running_mean.values()[6] == 4);
    student.followed.norm.running_mean.fill(8);  // as training writes it
    {
      const Launches launches("EmaStep");
      ema.update(0.75);
      CHECK(launches.count == 2);
    }
    beside.update(0.5);
    CHECK(teacher.norm.running_mean.values()[6] == 2);
    CHECK(teacher.norm.running_var.values()[0] == 1.5f);
    CHECK(teacher.steps.values()[0] == 5);
    CHECK(second.norm.running_mean.values()[0] == 4);
    ema.attach(teacher, student, arena, true);  // as after a checkpoint
    CHECK(teacher.norm.running_mean.values()[6] == 2);
    ema.update(0.5);
    beside.update(0.5);
    CHECK(teacher.norm.running_mean.values()[6] == 5);
    CHECK(second.norm.running_mean.values()[6] == 6);
  }
}

TEST_CASE("teacher: a warm momentum makes it the student's mean over the first steps") {
  Random random(1);
  Student student(random);
  Followed teacher(random);
  ParameterArena arena(student, Device::cpu, DType::f32);
  Teacher ema;
  ema.attach(teacher, student, arena);
  Scheduled momentum;
  momentum.schedule = Schedule::warm(0.999);
  for (int step = 0; step < 4; ++step) {
    student.followed.norm.bias.fill(step);
    momentum.begin_step(step, Device::cpu);
    ema.update(momentum.now());
  }
  CHECK(teacher.norm.bias.values64()[3] == doctest::Approx(1.5));
}

TEST_CASE("teacher: parts that the student lacks or has in another shape are errors that name them") {
  Random random(1);
  Student student(random);
  ParameterArena arena(student, Device::cpu, DType::f32);
  Teacher ema;
  CHECK_THROWS_WITH_AS(ema.update(0.9), doctest::Contains("attach"), Error);
  struct Other : Module {
    std::string name;
    Tensor part;
    Other(std::string name, const Tensor& part) : name(std::move(name)), part(part) {}
    void visit(Visitor& v) override { v(name, part); }
  };
  Other lacking("second", Tensor::zeros({3})), wider("norm.bias", Tensor::zeros({8}));
  CHECK_THROWS_WITH_AS(ema.attach(lacking, student, arena), doctest::Contains("second"), Error);
  CHECK_THROWS_WITH_AS(ema.attach(wider, student, arena), doctest::Contains("norm.bias"), Error);
  Other state("norm.running_mean", Tensor::zeros({7}));
  CHECK_THROWS_WITH_AS(ema.attach(state, student, arena), doctest::Contains("norm.running_mean"), Error);
  Followed teacher(random);
  ema.attach(teacher, student, arena);
  CHECK_THROWS_AS(ema.update(1.5), Error);
}

}  // namespace gestalt::test
