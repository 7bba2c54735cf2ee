// What is said of runs: reports, lists and sweeps.
#include <doctest/doctest.h>

#include <filesystem>

#include "engine/run/files.h"
#include "engine/run/json.h"
#include "tests/tools/command_runs.h"

namespace gestalt::test {

TEST_CASE("report: of a run into its folder, of several where --out says; pretrain ends with one") {
  const TemporaryFolder folder;
  const std::string both = runs().simclr + "/ " + runs().mae + " --images 16 --out " + folder.path() + "/both.html";
  CHECK(contains(gestalt_prints("report " + both), "wrote " + folder.path() + "/both.html ("));
  CHECK(contains(read_text(folder / "both.html"), "<h1>2 runs</h1>"));
  CHECK(contains(gestalt_prints("report " + runs().gpt), "wrote " + runs().gpt + "/report.html ("));
  CHECK(contains(gestalt_prints("report"), "got no run"));
  CHECK(contains(gestalt_prints("report " + folder.path()), "holds no run"));
  const std::string run = "pretrain simclr --preset tiny --steps 1 --dtype f32 --out " + folder.path() + "/";
  CHECK(contains(gestalt_prints(run + "a --report"), "\nreport: " + folder.path() + "/a/report.html\n"));
  CHECK(contains(read_text(folder / "a/report.html"), "<td>linear</td><td>untrained encoder</td>"));
  CHECK(contains(read_text(folder / "a/results.jsonl"), "\"features\":\"encoder\""));
  CHECK_FALSE(contains(gestalt_prints(run + "b --no-html"), "report.html"));
  std::filesystem::create_directories(folder / "c/report.html/in the way");
  const std::string in_the_way = gestalt_prints(run + "c");
  CHECK(contains(in_the_way, "\nencoder: " + folder.path() + "/c/encoder.safetensors\n"));
  CHECK_FALSE(contains(in_the_way, "\nreport: "));
}

TEST_CASE("runs: a line a run, or JSON") {
  const std::string table = gestalt_prints("runs " + runs().folder.path() + " --fields seed");
  CHECK(contains(table, runs().folder.path() + "/simclr  finished  simclr  "));
  CHECK(contains(table, runs().folder.path() + "/gpt     finished  gpt     "));
  const auto json = parse_json("test", gestalt_prints("runs " + runs().folder.path() + " --json --sort probe"));
  CHECK(json.size() == 3);
  CHECK(json[2]["method"] == "gpt");
  CHECK(contains(gestalt_prints("runs /nowhere"), "is no folder"));
}

TEST_CASE("sweep: a table of its runs, and a failure where some have none") {
  const TemporaryFolder folder;
  const std::string file = folder / "s.conf";
  write_file_atomically(file, "method = simclr\npreset = tiny\ndtype = f32\nsteps = 1\nbatch = 16 | 4096\n");
  const std::string said = gestalt_prints("sweep " + file + " --quiet --out " + folder.path() + "/out");
  CHECK(contains(said, "\n16     1  "));
  CHECK(contains(said, "out/sweep.csv has this table"));
  CHECK(contains(said, "1 of 2 runs have not ended"));
  CHECK(contains(gestalt_prints("sweep " + file), "no --out"));
}

}  // namespace gestalt::test
