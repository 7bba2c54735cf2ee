// Finding runs, and setting them in columns.
#include "tasks/evaluation/run_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "engine/run/fields_json.h"
#include "engine/run/run_folder.h"
#include "tasks/training/method.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;
void find_runs(const fs::path& folder, std::vector<std::string>& found) {
  std::error_code error;
  if (fs::exists(folder / RunFolder::config, error)) {
    found.push_back(folder.string());
    return;
  }
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (std::error_code ignored; at->is_directory(ignored) && !at->is_symlink(ignored)) find_runs(at->path(), found);
}

std::string field_of(const RunRecord& run, const std::string& name) {
  return run.config.contains(name) ? text_of_json(run.config[name]).value_or(run.config[name].dump()) : "-";
}

// By which a run is better than others: of a loss, the less the better. Runs without a measure are the last.
double merit(const ListedRun& run) {
  const std::optional<double> probe = run.record ? run.record->metrics.last(probe_column(*run.record)) : std::nullopt;
  if (!probe) return -HUGE_VAL;
  return make_method(run.record->method)->modality() == Modality::images ? *probe : -*probe;
}

fs::file_time_type last_written(const ListedRun& run) {
  std::error_code error;
  const auto time = fs::last_write_time(fs::path(run.folder) / RunFolder::checkpoint, error);
  return error ? fs::file_time_type::min() : time;
}

std::vector<std::string> shown_fields(const std::vector<ListedRun>& runs, const std::string& asked) {
  std::vector<std::string> names, known;
  for (const ListedRun& run : runs) {
    if (!run.record) continue;
    for (const auto& [name, value] : run.record->config.items())
      if (std::find(known.begin(), known.end(), name) == known.end()) known.push_back(name);
  }
  if (asked == "differing") {
    for (const std::string& name : known) {
      std::set<std::string> values;
      for (const ListedRun& run : runs)
        if (run.record) values.insert(field_of(*run.record, name));
      if (values.size() > 1 && name != "method" && name != "data") names.push_back(name);
    }
    return names;
  }
  for (size_t begin = 0, end = 0; begin < asked.size(); begin = end + 1) {
    end = std::min(asked.find(',', begin), asked.size());
    names.push_back(asked.substr(begin, end - begin));
    check(std::find(known.begin(), known.end(), names.back()) != known.end(), "[runs] no run has a field '{}'{}",
          names.back(), suggestion(names.back(), known));
  }
  return names;
}

// The last result of each evaluation of the encoder itself: "knn 45.20, linear 60.10".
std::string results_of(const RunRecord& run) {
  std::vector<std::pair<std::string, double>> last;
  for (const Json& r : run.results) {
    const char* of = r.contains("accuracy") ? "accuracy" : "loss";
    if (!r.contains(of) || !r[of].is_number() || !r.contains("evaluation") || !r["evaluation"].is_string()) continue;
    if (r.contains("features") && r["features"] != "encoder") continue;
    const std::string& name = r["evaluation"].text();
    const auto at = std::find_if(last.begin(), last.end(), [&](const auto& l) { return l.first == name; });
    if (at == last.end())
      last.push_back({name, r[of].get<double>()});
    else
      at->second = r[of].get<double>();
  }
  std::string text;
  for (const auto& [name, value] : last) text += fmt::format("{}{} {:.4g}", text.empty() ? "" : ", ", name, value);
  return text.empty() ? "-" : text;
}

// "46.2 at step 300", of those that keep it.
std::string best_of(const RunRecord& run) {
  const bool kept = run.best.is_object() && run.best.contains("value") && run.best["value"].is_number();
  return kept ? fmt::format("{:.4g} at step {}", run.best["value"].get<double>(), run.best.value("step", int64_t{0}))
              : "-";
}

std::string number(std::optional<double> value, const char* digits) {
  return value ? fmt::format(fmt::runtime(digits), *value) : "-";
}

}  // namespace

void RunListOptions::fields(Fields& f) {
  f("sort", sort, "by name; by probe, the best first; or the newest first", {"name", "probe", "newest"});
  f("fields", fields_shown, "fields of config.json to show, by commas; 'differing': those not the same in all runs");
}

std::vector<ListedRun> list_runs(const std::string& folder, const RunListOptions& options) {
  check_fields(RunListOptions(options));
  std::error_code error;
  check(fs::is_directory(folder, error), "[runs] '{}' is no folder; name one that has runs in it, such as runs",
        folder);
  std::vector<std::string> found;
  find_runs(folder, found);
  std::sort(found.begin(), found.end());
  std::vector<ListedRun> runs;
  for (const std::string& path : found) try {
      runs.push_back({path, read_run_record(path)});
      make_method(runs.back().record->method);
    } catch (const Error& problem) {
      if (runs.empty() || runs.back().folder != path) runs.push_back({path, {}});
      runs.back() = {path, {}, problem.what()};
    }
  if (options.sort == "probe")
    std::stable_sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return merit(a) > merit(b); });
  if (options.sort == "newest")
    std::stable_sort(runs.begin(), runs.end(),
                     [](const auto& a, const auto& b) { return last_written(a) > last_written(b); });
  return runs;
}

std::string run_table(const std::vector<ListedRun>& runs, const RunListOptions& options) {
  const std::vector<std::string> shown = shown_fields(runs, options.fields_shown);
  std::vector<std::vector<std::string>> rows{
      {"run", "state", "method", "data", "steps", "epochs", "minutes", "probe", "best", "evaluations"}};
  rows[0].insert(rows[0].end(), shown.begin(), shown.end());
  std::string problems;
  for (const ListedRun& run : runs) {
    if (!run.record) {
      problems += fmt::format("{}: {}\n", run.folder, run.problem);
      continue;
    }
    const RunRecord& r = *run.record;
    const std::optional<double> seconds = r.timing.last("seconds");
    std::vector<std::string>& row = rows.emplace_back();
    row = {r.folder,
           name(r.phase),
           r.method,
           field_of(r, "data"),
           number(r.metrics.last("step"), "{:.0f}"),
           number(r.metrics.last("epoch"), "{:.4g}"),
           seconds ? fmt::format("{:.1f}", *seconds / 60) : "-",
           number(r.metrics.last(probe_column(r)), "{:.4g}"),
           best_of(r),
           results_of(r)};
    for (const std::string& name : shown) row.push_back(field_of(r, name));
    for (const std::string& missing : r.missing) problems += fmt::format("{}: {}\n", run.folder, missing);
  }
  return aligned_columns(rows) + problems;
}

Json run_json(const std::vector<ListedRun>& runs) {
  Json all = Json::array();
  for (const ListedRun& run : runs) {
    Json& row = all.push_back({{"run", run.folder}});
    if (!run.record) {
      row["problem"] = run.problem;
      continue;
    }
    const RunRecord& r = *run.record;
    const auto put = [&](const char* name, std::optional<double> value) {
      row[name] = value && std::isfinite(*value) ? Json(*value) : Json();
    };
    row["state"] = name(r.phase), row["method"] = r.method, row["data"] = field_of(r, "data");
    put("steps", r.metrics.last("step")), put("epochs", r.metrics.last("epoch"));
    put("seconds", r.timing.last("seconds")), put("loss", r.metrics.last("loss"));
    put("probe", r.metrics.last(probe_column(r)));
    row["probe_is"] = probe_name(r), row["results"] = r.results, row["config"] = r.config;
    if (!r.best.is_null()) row["best"] = r.best;
    if (!r.missing.empty()) row["missing"] = r.missing;
  }
  return all;
}

}  // namespace gestalt
