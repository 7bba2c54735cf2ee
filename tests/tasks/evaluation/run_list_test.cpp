// Runs found below a folder, in a table and as JSON, with what is wrong with some of them.
#include "tasks/evaluation/run_list.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

void write_run(const std::string& folder, const std::string& config, const std::string& rows) {
  std::filesystem::create_directories(folder);
  write(folder + "/config.json", config);
  write(folder + "/metrics.csv", "step,epoch,loss,probe\n" + rows);
}

}  // namespace

TEST_CASE("runs: a line each, by name or by what they reached, also those that cannot be read") {
  const TemporaryFolder folder;
  const std::string fields = R"("epochs": 2, "steps": 0, "data": "shapes")";
  write_run(folder / "b", R"({"method": "simclr", "lr": 0.1, )" + fields + "}", "4,1,2.5,40\n8,2,2,45.25\n");
  write_run(folder / "a/deep", R"({"method": "simclr", "lr": 0.2, )" + fields + "}", "4,1,2.5,41\n");
  write_run(folder / "c", R"({"method": "gpt", "lr": 0.2, )" + fields + "}", "8,2,2,1.5\n");
  write_run(folder / "d", R"({"method": "nothing"})", "");
  write_run(folder / "e", "{", "");
  write_run(folder / "f", R"({"method": "mae", "lr": 0.2, )" + fields + "}", "x,1,2,3\n");
  std::filesystem::create_directories(folder / "b/inside/config.json");
  write(folder / "b/results.jsonl",
        "{\"evaluation\":\"knn\",\"accuracy\":44,\"features\":\"encoder\"}\n"
        "{\"evaluation\":\"knn\",\"accuracy\":46.5,\"features\":\"encoder\"}\n"
        "{\"evaluation\":\"knn\",\"accuracy\":20,\"features\":\"raw pixels\"}\n");

  const RunListOptions by_probe{.sort = "probe", .fields_shown = "lr"};
  const std::vector<ListedRun> best = list_runs(folder.path(), by_probe);
  REQUIRE(best.size() == 6);
  CHECK(best[0].folder == folder / "b");
  CHECK(best[1].folder == folder / "a/deep");
  CHECK(best[2].folder == folder / "c");
  const std::string table = run_table(best, by_probe);
  const auto has = [&](const std::string& part) { return table.find(part) != std::string::npos; };
  CHECK(table.starts_with("run "));
  CHECK(has("/b       finished     simclr  shapes  8      2       -        45.25  -     knn 46.5     0.1\n"));
  CHECK(has("/a/deep  interrupted  simclr  shapes  4      1       -        41     -     -            0.2\n"));
  CHECK(has("/e: "));
  CHECK(has("/d: [method] got 'nothing', which is none"));
  CHECK(has("metrics.csv:2 got 'x'"));

  const auto json = run_json(list_runs(folder.path(), {}));
  REQUIRE(json.size() == 6);
  CHECK(json[0]["run"] == folder / "a/deep");
  CHECK(json[1]["probe"] == 45.25);
  CHECK(json[1]["results"].size() == 3);
  CHECK(json[1]["config"]["lr"] == 0.1);
  CHECK(json[1]["state"] == "finished");
  CHECK(json[4]["problem"].is_string());
  CHECK(list_runs(folder / "b", {}).size() == 1);
  const std::string differing = run_table(best, {.sort = "name", .fields_shown = "differing"});
  CHECK(differing.substr(0, differing.find('\n')).ends_with("evaluations  lr"));
  CHECK_THROWS_WITH_AS(run_table(best, {.sort = "name", .fields_shown = "lrr"}), doctest::Contains("'lr'"), Error);
  CHECK_THROWS_WITH_AS(list_runs(folder / "none", {}), doctest::Contains("is no folder"), Error);
  CHECK_THROWS_AS(list_runs(folder.path(), {.sort = "luck", .fields_shown = ""}), Error);
}

}  // namespace gestalt::test
