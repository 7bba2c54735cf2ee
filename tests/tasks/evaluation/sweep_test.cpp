// Sweeps: which runs a file asks for, their table, and what a stop in the middle leaves.
#include "tasks/evaluation/sweep.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "engine/run/files.h"
#include "tasks/evaluation/run_record.h"
#include "tasks/training/run.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

constexpr const char* tiny =
    "method = simclr\npreset = tiny\ndtype = f32\nsteps = 3\ndata = shapes:96\nbatch = 16\nprobe-every = 0\n"
    "lr = 0.01 | 0.1\nseed = 1 | 2\n";

SweepOutcome made(const std::string& text, const std::string& out, std::vector<std::string>* said = nullptr) {
  Sweep sweep = parse_sweep("s.conf", text);
  return run_sweep(sweep, out, true, [&](const std::string& line) {
    if (said) said->push_back(line);
  });
}

}  // namespace

TEST_CASE("sweep: a run for each combination, seeds together") {
  const Sweep sweep = parse_sweep("s.conf", "method = simclr\nseed = 3 | 4\nlr = 0.1 | 0.2 # two\nmodel = resnet18\n");
  CHECK(sweep.method == "simclr");
  REQUIRE(sweep.runs.size() == 4);
  CHECK(sweep.runs[0].name == "lr=0.1,seed=3");
  CHECK(sweep.runs[1].name == "lr=0.1,seed=4");
  CHECK(sweep.runs[2].name == "lr=0.2,seed=3");
  CHECK(sweep.runs[3].method->run.seed == 4);
  CHECK(sweep.runs[3].method->optimizer.rate == 0.2);
  CHECK(sweep.runs[1].varied == std::vector<std::pair<std::string, std::string>>{{"lr", "0.1"}});
  CHECK(parse_sweep("s.conf", "method = mae\ndata = images:a b/c | shapes\n").runs[0].name == "data=images:a_b_c");
  CHECK(parse_sweep("s.conf", "method = mae\n").runs[0].name == "mae");
  for (const auto& wrong : std::vector<std::pair<std::string, std::string>>{
           {"lr = 0.1\n", "no line 'method = NAME'"},
           {"method = simclr\nlrr = 0.1\n", "'lr'"},
           {"method = simclr\nlr = 0.1 | x\n", "s.conf:2"},
           {"method = simclr\nlr = 0.1 || 0.2\n", "empty value"},
           {"method = simclr\nlr = 0.1 | 0.1\n", "twice"},
           {"method = simclr | mae\n", "several values of method"},
           {"method = simclr\ndata = a b | a/b\n", "two runs the folder"}}) {
    CAPTURE(wrong.first);
    CHECK_THROWS_WITH_AS(parse_sweep("s.conf", wrong.first), doctest::Contains(wrong.second.c_str()), Error);
  }
}

TEST_CASE("sweep: stopped twice it ends with the table of one that was not, and makes no run again") {
  const TemporaryFolder folder;
  const SweepOutcome whole = made(tiny, folder / "whole");
  CHECK(whole.failed == 0);
  // What a kill leaves: one run in its middle, one that ended.
  Sweep sweep = parse_sweep("s.conf", tiny);
  pretrain(*sweep.runs[0].method, {.out = folder / "cut/lr=0.01,seed=1", .quiet = true, .stop_after = 2});
  pretrain(*sweep.runs[2].method, {.out = folder / "cut/lr=0.1,seed=1", .quiet = true});
  std::vector<std::string> said;
  CHECK(made(tiny, folder / "cut", &said).csv == whole.csv);
  CHECK(said == std::vector<std::string>{"going on with " + folder / "cut/lr=0.01,seed=1",
                                         folder / "cut/lr=0.01,seed=2", folder / "cut/lr=0.1,seed=2"});
  said.clear();
  CHECK(made(tiny, folder / "cut", &said).csv == whole.csv);
  CHECK(said.empty());
  CHECK(read_text(folder / "cut/sweep.csv") == whole.csv);
  CHECK(std::filesystem::exists(folder / "cut/lr=0.1,seed=2/report.html"));

  const double a = read_run_record(folder / "cut/lr=0.1,seed=1").metrics.last("knn_percent").value();
  const double b = read_run_record(folder / "cut/lr=0.1,seed=2").metrics.last("knn_percent").value();
  CHECK(whole.csv.starts_with("lr,runs,mean,deviation,least,most\n0.01,2,"));
  CHECK(whole.csv.ends_with(fmt::format("0.1,2,{:.4f},{:.4f},{:.4f},{:.4f}\n", (a + b) / 2,
                                        std::abs(a - b) / std::sqrt(2.0), std::min(a, b), std::max(a, b))));
  CHECK(whole.table.starts_with("kNN accuracy, % at the end of each run"));
  std::string other = tiny;
  other.replace(other.find("batch = 16"), 10, "batch = 32");
  CHECK_THROWS_WITH_AS(made(other, folder / "cut"), doctest::Contains("with another batch"), Error);
}

TEST_CASE("sweep: a run that fails costs itself") {
  const TemporaryFolder folder;
  std::string text = tiny;
  text.replace(text.find("lr = 0.01 | 0.1"), 15, "batch = 16 | 4096");
  text.erase(text.find("batch = 16\n"), 11);
  std::vector<std::string> said;
  const SweepOutcome outcome = made(text, folder.path(), &said);
  CHECK(outcome.failed == 2);
  CHECK(outcome.csv.find("\n4096,0,,,,\n") != std::string::npos);
  CHECK(said.back().starts_with("warning: "));
}

}  // namespace gestalt::test
