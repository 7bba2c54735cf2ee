// A run whose numbers stop being finite, what it keeps of that, and how it goes on.
#include <doctest/doctest.h>

#include <filesystem>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/run.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Method> run_of(int64_t steps) {
  std::unique_ptr<Method> method = tiniest_method("simclr", Device::cpu);
  method->run.steps = steps;
  method->run.checkpoint_minutes = 0;  // after each step
  method->run.probe_every = 0;
  return method;
}

Json json_of(const std::string& path) { return parse_json(path, read_text(path)); }

}  // namespace

TEST_CASE("a loss that is not finite: the run says in which step and op that began, and keeps the samples") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const std::unique_ptr<Method> wild = run_of(9);
  wild->optimizer.rate = 1e30;  // the first update is finite, what follows is not
  wild->optimizer.warmup_epochs = 0;
  CHECK_THROWS_WITH_AS(pretrain(*wild, {.out = out, .quiet = true}), doctest::Contains("It began in step 2: ["), Error);
  const auto record = json_of(out + "/fault.json");
  CHECK(record["step"] == 2);
  CHECK(record["checkpoint_step"] == 1);
  CHECK(record["seed"] == wild->run.seed);
  CHECK(record["samples"].size() == static_cast<size_t>(wild->run.batch));
  CHECK(record["what"].get<std::string>().find("[") == 0);
  CHECK(read_checkpoint_header(out).state.step == 1);  // the last that was good
}

TEST_CASE("a resume with another rate and more steps goes on with them, and the run's records say so") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  CHECK(pretrain(*run_of(4), {.out = out, .quiet = true}).steps == 4);
  const std::unique_ptr<Method> more = method_of_run(out);
  const double rate = more->optimizer.rate;
  more->run.steps = 6;
  more->optimizer.rate = rate / 8;
  CHECK(pretrain(*more, {.resume = out, .quiet = true}).steps == 6);
  const RunOrigin origin = read_checkpoint_header(out).origin;
  REQUIRE(origin.changes.size() == 2);
  CHECK(origin.changes[0] == "from step 4: steps 6 instead of 4");
  CHECK(origin.changes[1].find("from step 4: lr ") == 0);
  CHECK(json_of(out + "/config.json")["lr"] == rate / 8);
  CHECK(method_of_run(out)->optimizer.rate == rate / 8);
}

TEST_CASE("--keep: the last checkpoints stay under their step's name, each whole") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const std::unique_ptr<Method> method = run_of(5);
  method->run.keep = 3;
  pretrain(*method, {.out = out, .quiet = true});
  for (int64_t step = 1; step <= 5; ++step) {
    const std::string kept = out + fmt::format("/checkpoint-{:08}.safetensors", step);
    REQUIRE(fs::exists(kept) == (step > 2));
    if (step <= 2) continue;
    const std::string other = folder / fmt::format("at-{}", step);
    fs::create_directory(other);
    fs::copy_file(kept, other + "/checkpoint.safetensors");
    CHECK(read_checkpoint_header(other).state.step == step);
  }
}

}  // namespace gestalt::test
