// The best encoder of a run: which one is kept, and that a run in pieces keeps the same.
#include "tasks/training/best.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/run/table.h"
#include "tasks/training/run.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

std::unique_ptr<Method> keeping(const std::string& name, const std::string& by) {
  std::unique_ptr<Method> method = tiniest_method(name, Device::cpu);
  method->run.keep_best = by;
  method->run.probe_every = 1;
  method->optimizer.rate *= 100;  // so that the best is seldom the last
  return method;
}

// The first row of the best value of a column.
std::pair<int64_t, double> best_row(const std::string& run, const std::string& column, bool least) {
  const NumberTable table = parse_number_table(run, read_text(run + "/metrics.csv"));
  const auto steps = table.column("step"), values = table.column(column);
  std::pair<int64_t, double> best{0, least ? HUGE_VAL : -HUGE_VAL};
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i] && (least ? *values[i] < best.second : *values[i] > best.second))
      best = {static_cast<int64_t>(*steps[i]), *values[i]};
  return best;
}

std::string record(const std::string& run) { return read_text(run + "/best/best.json"); }

}  // namespace

TEST_CASE("best: the encoder of the row with the best value is kept, whether the most or the least is best") {
  struct Case {
    const char *method, *by, *column, *file;
    bool least;
  };
  for (const Case& c : {Case{"simclr", "probe", "knn_percent", "encoder.safetensors", false},
                        Case{"simclr", "rank", "effective_rank", "encoder.safetensors", false},
                        Case{"gpt", "probe", "validation_loss", "gpt2/model.safetensors", true}}) {
    CAPTURE(c.column);
    const TemporaryFolder folder;
    const std::string whole = folder / "whole", parts = folder / "parts", upto = folder / "upto";
    const PretrainResult result = pretrain(*keeping(c.method, c.by), {.out = whole, .quiet = true});
    const auto [step, value] = best_row(whole, c.column, c.least);
    CHECK(result.best.step == step);
    CHECK(result.best.value == value);
    const auto json = parse_json("best.json", record(whole));
    CHECK(json.at("step") == step);
    CHECK(json.at("column") == c.column);
    CHECK(json.at("value") == value);
    // What a run that ended then would have exported.
    if (step < result.steps) pretrain(*keeping(c.method, c.by), {.out = upto, .quiet = true, .stop_after = step});
    if (step < result.steps) {
      const std::unique_ptr<Method> then = method_of_run(upto);
      then->open();
      load_run(upto, *then);
      std::filesystem::create_directories(folder / "then");
      then->export_to(folder / "then");
      CHECK(read_text(folder / "then/" + c.file) == read_text(whole + "/best/" + c.file));
    }
    pretrain(*keeping(c.method, c.by), {.out = parts, .quiet = true, .stop_after = 1});
    for (int sitting = 0; sitting < 8; ++sitting)
      pretrain(*method_of_run(parts), {.resume = parts, .quiet = true, .stop_after = 1});
    CHECK(record(parts) == record(whole));
    CHECK(read_text(parts + "/best/" + c.file) == read_text(whole + "/best/" + c.file));
    CHECK(read_text(parts + "/metrics.csv") == read_text(whole + "/metrics.csv"));
  }
}

TEST_CASE("best: killed between the checkpoint and the encoder, the encoder is written when the run goes on") {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  pretrain(*keeping("simclr", "rank"), {.out = folder / "whole", .quiet = true});
  int64_t first = 0;  // the step of the first best
  pretrain(*keeping("simclr", "rank"), {.out = run, .quiet = true, .stop_after = 1});
  while (first == 0) {
    pretrain(*method_of_run(run), {.resume = run, .quiet = true, .stop_after = 1});
    first = step_of_best(run);
  }
  const std::string kept = read_text(run + "/best/encoder.safetensors");
  std::filesystem::remove_all(run + "/best");
  pretrain(*method_of_run(run), {.resume = run, .quiet = true, .stop = [] { return true; }});
  CHECK(read_text(run + "/best/encoder.safetensors") == kept);
  CHECK(step_of_best(run) == first);
  pretrain(*method_of_run(run), {.resume = run, .quiet = true});
  CHECK(record(run) == record(folder / "whole"));
}

TEST_CASE("best: what cannot be compared is refused before the first step") {
  const TemporaryFolder folder;
  auto method = keeping("simclr", "probe");
  set_fields(*method, "test", "unlabelled = true");
  CHECK_THROWS_WITH_AS(pretrain(*method, {.out = folder / "run", .quiet = true}),
                       doctest::Contains("--keep-best rank needs no labels"), Error);
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("hooks: steps and rows are told of as they are made, and a run stops when it is asked to") {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  std::vector<int64_t> steps;
  std::vector<MetricsRow> rows;
  PretrainSettings settings{.out = run, .quiet = true};
  settings.on_step = [&](int64_t step, int64_t all) {
    CHECK(all == 8);
    steps.push_back(step);
  };
  settings.on_row = [&](const MetricsRow& row) { rows.push_back(row); };
  settings.stop = [&] { return steps.size() == 5; };
  const PretrainResult first = pretrain(*keeping("simclr", "no"), settings);
  CHECK(first.interrupted);
  CHECK(first.signal == 0);
  CHECK(first.steps == 5);
  settings.out.clear(), settings.resume = run, settings.stop = nullptr;
  CHECK_FALSE(pretrain(*method_of_run(run), settings).interrupted);
  CHECK(steps == std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8});
  std::string lines;
  for (const MetricsRow& row : rows) {
    std::vector<std::string> columns;
    std::vector<std::optional<double>> values;
    for (const auto& [column, value] : row) columns.push_back(column), values.push_back(value);
    lines += json_line(columns, values);
  }
  CHECK(rows.size() >= 2);
  CHECK(lines == read_text(run + "/metrics.jsonl"));
  settings.resume.clear(), settings.out = folder / "failing";
  settings.on_step = [](int64_t, int64_t) { fail("[test] enough"); };
  CHECK_THROWS_WITH_AS(pretrain(*keeping("simclr", "no"), settings), "[test] enough", Error);
}

}  // namespace gestalt::test
