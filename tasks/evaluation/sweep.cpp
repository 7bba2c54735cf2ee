// Making the runs of a sweep, and their table.
#include "tasks/evaluation/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "engine/run/csv.h"
#include "engine/run/fields_json.h"
#include "engine/run/fields_text.h"
#include "engine/run/files.h"
#include "engine/run/run_folder.h"
#include "engine/run/table.h"
#include "tasks/evaluation/run_record.h"
#include "tasks/evaluation/run_report.h"
#include "tasks/training/recipe.h"
#include "tasks/training/resume.h"
#include "tasks/training/run.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;
// "a | b" → {"a", "b"}.
std::vector<std::string> alternatives(const GivenValue& value) {
  std::vector<std::string> all;
  for (std::string& one : split(value.text, '|')) {
    one.erase(0, std::min(one.find_first_not_of(' '), one.size()));
    one.erase(one.find_last_not_of(' ') + 1);
    check(!one.empty(), "[sweep] {} has an empty value beside '|'", value.place);
    check(std::find(all.begin(), all.end(), one) == all.end(), "[sweep] {} has the value {} twice", value.place, one);
    all.push_back(one);
  }
  return all;
}

// A file's name of what may be a path.
std::string plain(std::string text) {
  for (char& c : text)
    if (c == '/' || c == ' ' || c == '\\' || static_cast<unsigned char>(c) < 32) c = '_';
  return text;
}

std::string one_value(GivenValues& values, const char* name) {
  const auto found = values.find(name);
  if (found == values.end()) return "";
  check(alternatives(found->second).size() == 1, "[sweep] {} has several values of {}, expected one",
        found->second.place, name);
  const std::string text = found->second.text;
  values.erase(found);
  return text;
}

// The run of a folder, if one began there.
std::optional<RunRecord> record_of(const std::string& folder) {
  std::error_code ignored;
  if (!fs::exists(fs::path(folder) / RunFolder::checkpoint, ignored)) return {};
  return read_run_record(folder);
}

// Throws Error where a run stands in `folder` that the sweep would begin with other fields.
void check_same_fields(const std::string& folder, Method& method) {
  const std::optional<RunRecord> there = record_of(folder);
  if (!there) return;
  const Json& written = there->config;
  replace_places(method, expand_home);
  const Json expected = config_of(method);
  std::string names;
  for (const auto& [name, value] : expected.items()) {
    const bool by_the_data = name == "size" && value == 0;  // a run writes down what that came to
    if (may_change(name) || by_the_data || (written.contains(name) && written[name] == value)) continue;
    names += names.empty() ? name : ", " + name;
  }
  check(names.empty(), "[sweep] '{}' holds a run with another {}; choose another --out, or remove it", folder, names);
}

// Begins the run, or goes on with it; one that has ended or failed is left alone. Returns the signal that stopped it.
int make_run(const std::string& folder, SweepRun& run, bool quiet, const std::function<void(const std::string&)>& say) {
  const std::optional<RunRecord> there = record_of(folder);
  const auto is = [&](RunPhase phase) { return there && there->phase == phase; };
  if (is(RunPhase::finished)) return 0;
  check(!is(RunPhase::running), "[sweep] another process is writing into '{}'; wait for it", folder);
  if (is(RunPhase::failed)) {
    say(folder + " failed before; remove it to try again");
    return 0;
  }
  say(there ? "going on with " + folder : folder);
  try {
    const std::unique_ptr<Method> again = there ? method_of_run(folder) : nullptr;
    Method& method = again ? *again : *run.method;
    PretrainSettings settings{.quiet = quiet};
    (there ? settings.resume : settings.out) = folder;
    const PretrainResult result = pretrain(method, settings);
    if (result.interrupted) return result.signal;
    write_run_report(folder, method);
  } catch (const std::exception& error) { say(fmt::format("warning: {}: {}", folder, error.what())); }
  return 0;
}

struct SeedGroup {
  std::vector<std::pair<std::string, std::string>> varied;
  std::vector<double> values;  // one a run that has ended
};

void write_tables(const std::vector<SeedGroup>& groups, const std::string& measure, SweepOutcome& outcome) {
  std::vector<std::vector<std::string>> rows(1);
  for (const auto& [name, value] : groups[0].varied) rows[0].push_back(name);
  for (const char* name : {"runs", "mean", "deviation", "least", "most"}) rows[0].push_back(name);
  for (const SeedGroup& g : groups) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const auto& [name, value] : g.varied) row.push_back(value);
    const double n = static_cast<double>(g.values.size());
    double sum = 0, squares = 0;
    for (double v : g.values) sum += v;
    for (double v : g.values) squares += (v - sum / n) * (v - sum / n);
    row.push_back(std::to_string(g.values.size()));
    row.push_back(n > 0 ? fmt::format("{:.4f}", sum / n) : "");
    row.push_back(n > 1 ? fmt::format("{:.4f}", std::sqrt(squares / (n - 1))) : "");
    row.push_back(n > 0 ? fmt::format("{:.4f}", *std::min_element(g.values.begin(), g.values.end())) : "");
    row.push_back(n > 0 ? fmt::format("{:.4f}", *std::max_element(g.values.begin(), g.values.end())) : "");
  }
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) outcome.csv += ',';
      outcome.csv += csv_cell(row[i]);
    }
    outcome.csv += '\n';
  }
  outcome.table = fmt::format("{} at the end of each run; the deviation is the sample's, over seeds\n{}", measure,
                              aligned_columns(rows));
}

}  // namespace

Sweep parse_sweep(const std::string& source, std::string_view text) {
  GivenValues values = parse_values(source, text);
  Sweep sweep;
  sweep.method = one_value(values, "method");
  check(!sweep.method.empty(), "[sweep] {} has no line 'method = NAME'; see 'gestalt list methods'", source);
  const std::string preset = one_value(values, "preset");
  std::vector<std::pair<std::string, std::vector<std::string>>> grid;  // the seed last
  for (const auto& [name, value] : values)
    if (name != "seed") grid.push_back({name, alternatives(value)});
  if (values.contains("seed")) grid.push_back({"seed", alternatives(values.at("seed"))});
  size_t count = 1;
  for (const auto& [name, all] : grid) count *= all.size();
  check(count <= 10000, "[sweep] {} asks for {} runs, expected 10,000 at most", source, count);
  std::set<std::string> names;
  for (size_t i = 0; i < count; ++i) {
    SweepRun& run = sweep.runs.emplace_back();
    GivenValues chosen;
    size_t left = count, at = i;
    for (const auto& [name, all] : grid) {
      left /= all.size();
      const std::string& value = all[at / left];
      at %= left;
      chosen[name] = {value, values.at(name).place};
      if (all.size() > 1) run.name += fmt::format("{}{}={}", run.name.empty() ? "" : ",", name, plain(value));
      if (all.size() > 1 && name != "seed") run.varied.push_back({name, value});
    }
    if (run.name.empty()) run.name = sweep.method;
    check(names.insert(run.name).second, "[sweep] {} gives two runs the folder {}", source, run.name);
    run.method = make_method(sweep.method);
    if (!preset.empty()) apply_recipe(*run.method, find_recipe(sweep.method, preset));
    TextReader reader(chosen);
    run.method->fields(reader);
    reader.finish();
    check_fields(*run.method);
  }
  return sweep;
}

SweepOutcome run_sweep(Sweep& sweep, const std::string& out, bool quiet,
                       const std::function<void(const std::string&)>& say) {
  for (SweepRun& run : sweep.runs) check_same_fields(out + "/" + run.name, *run.method);
  std::vector<SeedGroup> groups;
  std::set<std::string> measures;
  SweepOutcome outcome;
  for (SweepRun& run : sweep.runs) {
    const std::string folder = out + "/" + run.name;
    outcome.signal = make_run(folder, run, quiet, say);
    if (outcome.signal != 0) return outcome;
    if (groups.empty() || groups.back().varied != run.varied) groups.push_back({run.varied, {}});
    const std::optional<RunRecord> record = record_of(folder);
    if (!record || record->phase != RunPhase::finished) {
      ++outcome.failed;
      continue;
    }
    const std::string headline = probe_column(*record);
    const bool probed = record->metrics.last(headline).has_value();
    const std::optional<double> value = record->metrics.last(probed ? headline : "loss");
    if (!value) continue;
    groups.back().values.push_back(*value);
    measures.insert(probed ? probe_name(*record) : "loss");
  }
  check(measures.size() <= 1, "[sweep] some runs in '{}' have a probe and others have none", out);
  write_tables(groups, measures.empty() ? "nothing" : *measures.begin(), outcome);
  std::error_code ignored;
  fs::create_directories(out, ignored);
  write_file_atomically(out + "/sweep.csv", outcome.csv);
  return outcome;
}

}  // namespace gestalt
