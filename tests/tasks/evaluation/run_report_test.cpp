// The page about a run: its parts from known values, what it shows of runs, and what it refuses.
#include "tasks/evaluation/run_report.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "engine/run/files.h"
#include "engine/run/run_folder.h"
#include "tasks/evaluation/html.h"
#include "tasks/training/run.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

int64_t count_of(const std::string& text, const std::string& part) {
  int64_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

// A run of three epochs as its files tell it.
std::string written_run(const std::string& folder, const std::string& more = "") {
  std::filesystem::create_directories(folder);
  write(folder + "/config.json", R"({"method": "simclr", "data": "shapes:192", "epochs": 3, "steps": 0)" + more + "}");
  write(folder + "/metrics.csv", "step,epoch,loss,lr,probe\n6,1,4.5,0.1,\n12,2,4.25,0.1,31.5\n18,3,4,0,\n");
  return folder;
}

// Every tag that is opened is closed, in order, and every attribute is quoted.
bool well_formed(const std::string& html) {
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != html.npos; at = html.find('<', at + 1)) {
    const size_t end = html.find('>', at);
    if (end == html.npos) return false;
    const std::string tag = html.substr(at + 1, end - at - 1);
    if (tag.starts_with("!") || tag.ends_with("/")) continue;
    if (tag.starts_with("/")) {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    if (count_of(tag, "\"") % 2 != 0) return false;
  }
  return open.empty();
}

}  // namespace

TEST_CASE("html: text cannot leave its place") {
  CHECK(html::escape("a<b> & \"c\" 'd'") == "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  CHECK(html::escape(std::string("\xff", 1)) == "\xef\xbf\xbd");
  CHECK(html::escape(std::string("a\0b\x1b", 4)) == "a b ");
  CHECK(html::table({"<h>"}, {{"<x>"}, {html::Cell::raw("<b>y</b>")}}, {1}) ==
        "<div class=\"wide\"><table><tr><th>&lt;h&gt;</th></tr>\n<tr><td>&lt;x&gt;</td></tr>\n"
        "<tr class=\"mark\"><td><b>y</b></td></tr>\n</table></div>\n");
  const std::string page = html::page("<script>", html::section("\"", html::paragraph("</p>")) + html::key({"<i>"}) +
                                                      html::picture("png", "'>") + html::tiles({{{"x", "\"/>", ""}}}) +
                                                      html::cards({{"<a>", "<b>"}}) + html::bar("<", {{">", 1}}, "<") +
                                                      html::chart("<c>", {{"<d>", {{0, 1}, {1, 2}}}}));
  CHECK(well_formed(page));
  CHECK_FALSE(contains(page, "<script>"));
}

TEST_CASE("html: base64 as RFC 4648 has it") {
  for (const auto& known : std::vector<std::pair<std::string, std::string>>{
           {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}})
    CHECK(html::base64(known.first) == known.second);
  CHECK(html::base64(std::string("\xff\0Gestalt", 9)) == "/wBHZXN0YWx0");
}

// x: 56 + 294 · share, y: 160 − 148 · share of a range that is 0.06 longer at either end.
TEST_CASE("html: a chart of known values") {
  const std::string chart = html::chart("loss", {{"a", {{0, 0}, {5, 50}, {10, 100}}}, {"b", {{0, 100}, {10, 0}}}});
  CHECK(contains(chart, "points=\"56.0,152.1 203.0,86.0 350.0,19.9 \""));
  CHECK(contains(chart, "points=\"56.0,19.9 350.0,152.1 \""));
  CHECK(contains(chart, "<title>a 5: 50</title>"));
  CHECK(contains(chart, "text-anchor=\"end\">50</text>"));
  CHECK(well_formed(chart));
  CHECK(contains(html::chart("one", {{"a", {{2, 3}}}}), "points=\"203.0,86.0 \""));
  CHECK(well_formed(html::chart("none", {{"a", {}}})));
  const std::string bar = html::bar("step", {{"data", 1}, {"forward", 3}}, "ms");
  CHECK(contains(bar, "x=\"250.0\" y=\"0\" width=\"750.0\""));
  CHECK(contains(bar, "forward 3 ms (75.0 %)"));
}

TEST_CASE("html: sums of a confusion are those of its rows and columns") {
  const std::string table = html::confusion({"cat", "dog & co"}, {8, 2, 6, 4});
  CHECK(contains(table,
                 ">8</td><td style=\"background:rgba(209,73,63,0.20)\">2</td><td class=\"sum\">10</td>"
                 "<td class=\"sum\">80 %</td>"));
  CHECK(contains(table,
                 "<td class=\"sum\">14</td><td class=\"sum\">6</td><td class=\"sum\">20</td>"
                 "<td class=\"sum\">60 %</td>"));
  CHECK(contains(table, "<td class=\"sum\">57 %</td><td class=\"sum\">67 %</td>"));
  CHECK(contains(table, "dog &amp; co"));
}

TEST_CASE("run record: Wilson's interval") {  // the formula in Python
  const Interval half = binomial_interval(50, 100), none = binomial_interval(0, 10);
  CHECK(half.low == doctest::Approx(40.383153036599566));
  CHECK(half.high == doctest::Approx(59.616846963400434));
  CHECK(none.low == 0);
  CHECK(none.high == doctest::Approx(27.75327998628892));
  CHECK(binomial_interval(100 * 295.0 / 1001, 1001).low == doctest::Approx(26.72902721439893));
  CHECK_THROWS_AS(binomial_interval(101, 10), Error);
  CHECK_THROWS_AS(binomial_interval(50, 0), Error);
}

TEST_CASE("run record: where a run stands") {
  const TemporaryFolder folder;
  const std::string run = written_run(folder / "a");
  CHECK(read_run_record(run).phase == RunPhase::finished);
  write(run + "/metrics.csv", "step,epoch,loss,lr,probe\n6,1,4.5,0.1,\n12,2,4.2");
  CHECK(read_run_record(run).phase == RunPhase::interrupted);
  CHECK(read_run_record(run).metrics.rows.size() == 1);
  write(run + "/fault.json", "{}");
  CHECK(read_run_record(run).phase == RunPhase::failed);
  {
    const RunFolder writing = RunFolder::create(folder / "b", "b");
    CHECK(read_run_record(written_run(folder / "b")).phase == RunPhase::running);
  }
  write(run + "/metrics.csv", "step,epoch\n1,x\n");
  CHECK(contains(read_run_record(run).missing.at(0), "metrics.csv:2 got 'x'"));
  CHECK_THROWS_WITH_AS(read_run_record(folder / "none"), doctest::Contains("holds no run"), Error);
  CHECK_THROWS_WITH_AS(read_run_record(folder.path()), doctest::Contains("holds no run"), Error);
  write(folder / "config.json", "{}");
  CHECK_THROWS_WITH_AS(read_run_record(folder.path()), doctest::Contains("names no method"), Error);
  CHECK(shell_word("runs/a-1") == "runs/a-1");
  CHECK(shell_word("my $run's") == "'my $run'\\''s'");
}

TEST_CASE("report: runs side by side, by what they reached and where they differ") {
  const TemporaryFolder folder;
  const std::string a = written_run(folder / "a", R"(, "temperature": 0.5)");
  const std::string b = written_run(folder / "b<i>", R"(, "temperature": 0.2)");
  write(
      a + "/results.jsonl",
      "{\"evaluation\":\"knn\",\"accuracy\":50,\"features\":\"raw pixels\",\"test_images\":100,\"protocol\":\"k\"}\n");
  const std::string page = run_report({a, b}, {.pictures = false});
  CHECK(well_formed(page));
  CHECK(contains(page, "<td>temperature</td><td>0.5</td><td>0.2</td>"));
  CHECK(contains(page, "<summary>Fields in which their configurations differ (1)</summary>"));
  CHECK(contains(page, "<td>knn, raw pixels</td><td>50.00\u00a0%</td><td>-</td>"));
  CHECK(contains(page, "40.38 to 59.62 %"));
  CHECK(contains(page, "b&lt;i&gt;"));
  CHECK(contains(page, "Pictures left out: --no-pictures was given"));
  CHECK_THROWS_WITH_AS(run_report({a, folder / "none"}, {.pictures = false}), doctest::Contains("holds no run"), Error);
  CHECK_THROWS_AS(run_report({}, {.pictures = false}), Error);
}

TEST_CASE("report: a run shows its views, neighbours, classes and itself, from one file without a network") {
  const TemporaryFolder folder;
  for (const char* name : {"simclr", "mae", "gpt"}) {
    CAPTURE(name);
    const std::unique_ptr<Method> method = tiny_method(name);
    method->run.steps = 4;
    const std::string run = pretrain(*method, {.out = folder / name, .quiet = true}).folder;
    const std::string page = read_text(write_run_report(run, *method));
    CHECK(well_formed(page));
    CHECK_FALSE(contains(page, "http"));
    CHECK_FALSE(contains(page, "<script"));
    CHECK(contains(page, "<b>finished</b>"));
    CHECK(contains(page, "gestalt pretrain " + std::string(name) + " --config "));
    CHECK(contains(page, std::string("the preset ") + name + "-tiny"));
    if (method->modality() == Modality::text) {
      CHECK(contains(page, "What it writes"));
      continue;
    }
    CHECK(contains(page, "What the encoder is shown: 8 images"));
    CHECK(contains(page, "masked loss") == (std::string(name) == "mae"));
    CHECK(count_of(page, "<div class=\"tiles\">") >= 8);
    CHECK(contains(page, "table class=\"confusion\""));
    CHECK(contains(page, "None was met."));
  }
  // All images looked at, the accuracy is the probe's; read again, the run shows the same.
  const std::string run = folder / "simclr";
  const std::string again = run_report({run}, {});
  const double knn = read_run_record(run).metrics.last("knn_percent").value();
  CHECK(contains(again, fmt::format("{:.2f} % right, 95 % interval", knn)));
  CHECK(contains(again, "what &#39;gestalt evaluate knn&#39; measures"));
  CHECK(contains(run_report({run}, {.data = "images:/nowhere"}), "Pictures left out: "));
}

}  // namespace gestalt::test
