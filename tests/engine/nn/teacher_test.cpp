// The moving-average teacher: layout, update, shadows, and what a teacher may be.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/nn/ema.h"
#include "engine/nn/layers.h"

namespace gestalt::test {
namespace {

struct Followed : Module {
  Linear first;
  BatchNorm norm;
  explicit Followed(Random& random) : first(5, 7, random), norm(7) {}
  void visit(Visitor& v) override {
    v("first", first);
    v("norm", norm);
  }
};

struct Student : Module {
  Followed followed;
  Linear extra;
  bool extra_first = false;
  explicit Student(Random& random) : followed(random), extra(7, 3, random) {}
  void visit(Visitor& v) override {
    if (extra_first) v("extra", extra);
    followed.visit(v);
    if (!extra_first) v("extra", extra);
  }
};

}  // namespace

TEST_CASE("EMA teacher: τ·teacher + (1−τ)·student in one buffer, shadows and all; states are its own") {
  for (DType compute : {DType::f32, DType::bf16}) {
    CAPTURE(name(compute));
    Random random(1);
    Student student(random);
    Followed teacher(random);  // other weights
    ParameterArena arena(student, Device::cpu, compute);
    const std::vector<double> before = teacher.first.weight.values64();
    EmaTeacher ema;
    ema.attach(teacher, arena);
    CHECK(teacher.first.weight.values64() == before);
    CHECK(teacher.first.weight.same_storage(teacher.norm.bias));
    CHECK_FALSE(teacher.first.weight.same_storage(teacher.norm.running_mean));
    CHECK_FALSE(teacher.first.weight.requires_grad());
    student.followed.norm.running_mean.fill(3);
    ema.update(arena, 0.75);
    const std::vector<double> after = teacher.first.weight.values64();
    const std::vector<double> followed = student.followed.first.weight.values64();
    double worst = 0;
    for (size_t i = 0; i < after.size(); ++i)
      worst = std::max(worst, std::abs(after[i] - (0.75 * before[i] + 0.25 * followed[i])));
    CHECK(worst < 1e-7);
    CHECK(teacher.norm.running_mean.values64()[0] == 0);

    // Weights written by others, as by a checkpoint, reach the shadows with the next attach.
    const auto shadows_hold = [&] {
      return compute == DType::f32 ||
             teacher.first.weight.shadow().values() == teacher.first.weight.to(DType::bf16).values();
    };
    CHECK(shadows_hold());
    teacher.first.weight.fill(0.3);
    if (compute == DType::bf16) CHECK_FALSE(shadows_hold());
    ema.attach(teacher, arena);
    CHECK(shadows_hold());
    CHECK(teacher.first.weight.values()[0] == 0.3f);
  }
}

TEST_CASE("EMA teacher: must mirror the beginning of the arena") {
  Random random(1);
  Student student(random);
  student.extra_first = true;
  Followed teacher(random);
  ParameterArena arena(student, Device::cpu, DType::f32);
  EmaTeacher ema;
  CHECK_THROWS_AS(ema.attach(teacher, arena), Error);
  CHECK_THROWS_AS(ema.update(arena, 0.9), Error);
}

TEST_CASE("EMA rate: half a cosine from base to end") {
  CHECK(ema_rate(0.99, 1, 0, 100) == doctest::Approx(0.99));
  CHECK(ema_rate(0.99, 1, 50, 100) == doctest::Approx(0.995));
  CHECK(ema_rate(0.99, 1, 100, 100) == doctest::Approx(1));
  CHECK(ema_rate(0.99, 0.99, 30, 100) == doctest::Approx(0.99));
}

}  // namespace gestalt::test
