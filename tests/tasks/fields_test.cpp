// The fields of all methods: each number has bounds that hold what it is by default, and refuse what no run can have.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tasks/evaluation/finetune.h"
#include "tasks/evaluation/knn.h"
#include "tasks/evaluation/linear.h"
#include "tasks/training/method.h"

namespace gestalt::test {
namespace {

class BoundsTest : public Fields {
 public:
  void operator()(const char*, bool&, const char*) override {}
  void operator()(const char*, std::string&, const char*, const std::vector<std::string>&) override {}
  void operator()(const char* name, int64_t& value, const char*, const Bounds& bounds) override {
    look(name, static_cast<double>(value), bounds);
  }
  void operator()(const char* name, double& value, const char*, const Bounds& bounds) override {
    look(name, value, bounds);
  }

 private:
  void look(const char* name, double value, const Bounds& bounds) {
    CHECK_MESSAGE(bounds.hold(value), name, " is ", value);
    for (double never : {std::nan(""), std::numeric_limits<double>::infinity(), -0.5, -1e300})
      CHECK_MESSAGE((std::string(name) == "seed" || !bounds.hold(never)), name, " takes ", never);
  }
};

}  // namespace

TEST_CASE("fields: every number of every method and evaluation has bounds") {
  BoundsTest test;
  for (const MethodEntry& entry : list_methods()) {
    CAPTURE(entry.name);
    entry.make()->fields(test);
  }
  KnnOptions().fields(test);
  LinearOptions().fields(test);
  FinetuneOptions().fields(test);
}

TEST_CASE("fields: numbers that no run can have are refused with their range, wherever they come from") {
  const auto refused = [](const std::string& method, const std::string& line, const char* range) {
    CAPTURE(line);
    CHECK_THROWS_WITH_AS(set_fields(*make_method(method), "a.conf", line), doctest::Contains(range), Error);
    CHECK_THROWS_WITH_AS(set_fields(*make_method(method), "a.conf", line), doctest::Contains("a.conf:1"), Error);
  };
  refused("simclr", "lr = -0.1", "expected 0 or more");
  refused("simclr", "weight-decay = -0.1", "expected 0 or more");
  refused("simclr", "weight-decay-end = -0.5", "expected 0 or more, or -1");
  refused("simclr", "momentum = 2", "expected 0 or more and under 1");
  refused("simclr", "momentum = 1", "expected 0 or more and under 1");
  refused("simclr", "clip = -1", "expected 0 or more");
  refused("simclr", "warmup-epochs = -5", "expected from 0 to 1000000000");
  refused("simclr", "final-lr = -3", "expected 0 or more");
  refused("simclr", "epochs = 9223372036854775807", "expected from 0 to 1000000000");
  refused("simclr", "temperature = 0", "expected 0.0137 or more");
  refused("simclr", "knn-k = 0", "expected from 1");
  refused("simclr", "knn-temperature = 0", "expected above 0");
  refused("simclr", "crop-min = 0", "expected above 0 and up to 1");
  refused("simclr", "flip = 1.5", "expected from 0 to 1");
  refused("simclr", "threads = -1", "expected from 0 to 4096");
  refused("mae", "epsilon = -1", "expected 0 or more");
  refused("mae", "beta1 = -0.5", "expected 0 or more and under 1");
  refused("mae", "mask-ratio = 1", "expected above 0 and under 1");
  refused("gpt", "dropout = 1", "expected 0 or more and under 1");
  refused("gpt", "val-fraction = 1", "expected 0 or more and under 1");
  refused("dino", "student-temperature = 0", "expected above 0");
  refused("dino", "teacher-momentum = 1.01", "expected from 0 to 1");
  const std::unique_ptr<Method> method = make_method("simclr");
  method->optimizer.beta1 = std::nan("");  // by a program
  CHECK_THROWS_WITH_AS(check_fields(*method), doctest::Contains("--beta1 nan, expected"), Error);
}

}  // namespace gestalt::test
