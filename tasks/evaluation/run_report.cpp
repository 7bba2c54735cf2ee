// The sections of a report.
#include "tasks/evaluation/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/run/run_folder.h"
#include "tasks/evaluation/html.h"

namespace gestalt {
namespace {

using html::paragraph;

std::string left_out(const std::string& what, const std::string& why) {
  return paragraph(fmt::format("{} left out: {}", what, why), "dim");
}

std::string text_at(const Json& json, const char* name) {
  return json.contains(name) ? text_of_json(json[name]).value_or(json[name].dump()) : "";
}

// Numbers of a run, by name, for its head and for a table of several.
std::vector<std::pair<std::string, std::string>> figures(const RunRecord& run) {
  std::vector<std::pair<std::string, std::string>> all{{"state", name(run.phase)}};
  const auto add = [&](const std::string& what, std::optional<double> value, const char* digits) {
    if (value) all.push_back({what, fmt::format(fmt::runtime(digits), *value)});
  };
  add(probe_name(run), run.metrics.last(probe_column(run)), "{:.4g}");
  if (run.best.is_object())
    all.push_back({"best, in " + std::string(RunFolder::best),
                   fmt::format("{} {} at step {}", text_at(run.best, "column"), text_at(run.best, "value"),
                               text_at(run.best, "step"))});
  add("loss", run.metrics.last("loss"), "{:.4g}");
  add("effective rank", run.metrics.last("effective_rank"), "{:.3g}");
  add("steps", run.metrics.last("step"), "{:.0f}");
  add("epochs", run.metrics.last("epoch"), "{:.4g}");
  const std::optional<double> seconds = run.timing.last("seconds");
  add("minutes of training", seconds ? std::optional<double>(*seconds / 60) : std::nullopt, "{:.2f}");
  add("items a second", run.timing.last("items_per_second"), "{:.0f}");
  add("MiB of memory at most", run.timing.last("peak_memory_mib"), "{:.0f}");
  return all;
}

std::string overview(const RunRecord& run) {
  std::string model = text_at(run.config, "model");
  std::string body = paragraph(fmt::format("{}{} on {}, in {}", run.method, model.empty() ? "" : " with " + model,
                                           text_at(run.config, "data"), run.folder));
  body += html::cards(figures(run));
  body += paragraph("To do it again, from the folder that it was started in:", "dim");
  body += "<pre>" + html::escape(command_of(run)) + "</pre>\n";
  if (run.phase == RunPhase::interrupted || run.phase == RunPhase::failed)
    body += paragraph("To go on:", "dim") + "<pre>" +
            html::escape(fmt::format("gestalt pretrain {} --resume {}", run.method, shell_word(run.folder))) +
            "</pre>\n";
  return body;
}

std::string warnings(const RunRecord& run) {
  std::string body;
  const auto warn = [&](const std::string& text) { body += paragraph(text, "warn"); };
  try {
    if (const std::string collapse = collapse_of(run); !collapse.empty()) warn(collapse);
  } catch (const Error& error) { body += left_out("Signs of a collapse", error.what()); }
  if (run.phase == RunPhase::failed) warn("The loss was not finite; fault.json says where that began.");
  for (const std::string& change : run.changes) warn("Changed on the way, " + change);
  for (const std::string& missing : run.missing) warn(missing);
  return body.empty() ? paragraph("No sign of a collapse, and no warnings.") : body;
}

std::string configuration(const RunRecord& run) {
  try {
    const FieldComparison c = compare_with_preset(run);
    std::vector<std::vector<html::Cell>> differing, all;
    std::vector<size_t> marked;
    for (const auto& row : c.rows) {
      if (row.differs) differing.push_back({row.name, row.value, row.expected}), marked.push_back(all.size());
      all.push_back({row.name, row.value, row.expected});
    }
    const std::vector<std::string> head{"field", "this run", c.beside};
    std::string body = paragraph(fmt::format("Beside {}, which it differs from least: {} of {} fields differ.",
                                             c.beside, differing.size(), all.size()));
    if (!differing.empty()) body += html::table(head, differing);
    return body + "<details><summary>All fields</summary>" + html::table(head, all, marked) + "</details>\n";
  } catch (const Error& error) { return left_out("The configuration", error.what()); }
}

std::string curves(const std::vector<RunRecord>& runs) {
  std::vector<std::string> columns;
  for (const RunRecord& run : runs)
    for (const std::string& name : run.metrics.columns)
      if (name != "step" && name != "epoch" && std::find(columns.begin(), columns.end(), name) == columns.end())
        columns.push_back(name);
  const std::string headline = probe_column(runs[0]);
  std::stable_partition(columns.begin(), columns.end(), [&](const std::string& name) { return name == headline; });
  std::string charts, empty;
  for (const std::string& name : columns) {
    std::vector<html::Curve> drawn;
    bool any = false;
    for (const RunRecord& run : runs) {
      html::Curve& curve = drawn.emplace_back(html::Curve{run.folder, {}});
      const auto x = run.metrics.column("epoch"), y = run.metrics.column(name);
      for (size_t i = 0; i < y.size(); ++i)
        if (x[i] && y[i] && std::isfinite(*x[i]) && std::isfinite(*y[i])) curve.points.push_back({*x[i], *y[i]});
      any |= !curve.points.empty();
    }
    if (any)
      charts += html::chart(name == headline ? probe_name(runs[0]) : name, drawn);
    else
      empty += (empty.empty() ? "" : ", ") + name;
  }
  if (charts.empty()) return left_out("Curves", "metrics.csv has no row yet");
  return paragraph("Over epochs. Each point is a row of metrics.csv; losses and terms are means since the row before.",
                   "dim") +
         "<div class=\"charts\">" + charts + "</div>\n" +
         (empty.empty() ? "" : left_out("Curves of " + empty, "metrics.csv has no number of them"));
}

std::string timing(const RunRecord& run) {
  std::vector<std::pair<std::string, double>> phases;
  for (const std::string& column : run.timing.columns) {
    if (!column.ends_with("_ms")) continue;
    double sum = 0, rows = 0;
    for (const auto& cell : run.timing.column(column))
      if (cell && std::isfinite(*cell)) sum += *cell, ++rows;
    phases.push_back({column.substr(0, column.size() - 3), rows > 0 ? sum / rows : 0});
  }
  if (phases.empty()) return left_out("Times", "timing.csv has no rows");
  return html::bar(fmt::format("a step of {}, mean over the rows of timing.csv", run.folder), phases, "ms");
}

// What a line of results.jsonl found, and its interval where it is an accuracy.
std::pair<std::string, std::optional<Interval>> result_of(const Json& result) {
  const auto number = [&](const char* name) { return result.contains(name) && result[name].is_number(); };
  if (number("accuracy")) {
    const auto accuracy = result["accuracy"].get<double>();
    const bool counted =
        number("test_images") && result["test_images"].get<double>() >= 1 && accuracy >= 0 && accuracy <= 100;
    return {fmt::format("{:.2f}\u00a0%", accuracy),
            counted ? std::optional(binomial_interval(accuracy, result["test_images"].get<int64_t>())) : std::nullopt};
  }
  if (!number("loss")) return {"-", {}};
  std::string text = fmt::format("loss {:.4f}", result["loss"].get<double>());
  if (number("bits_per_byte")) text += fmt::format(", {:.4f} bits a byte", result["bits_per_byte"].get<double>());
  return {text, {}};
}

std::string evaluate_hint(const RunRecord& run) {
  const std::string data = " --data " + shell_word(text_at(run.config, "data"));
  const std::string of = shell_word(run.folder) + data;
  if (make_method(run.method)->modality() == Modality::text)
    return fmt::format("results.jsonl has none; 'gestalt evaluate text {}' adds one", of);
  // What is finished was measured at its end, where there was something to measure by.
  if (run.phase == RunPhase::finished && !run.metrics.last(probe_column(run)))
    return fmt::format(
        "the data had no labels to measure by; 'gestalt look {} --out look' finds neighbours, duplicates and outliers "
        "without any",
        of);
  return fmt::format(
      "results.jsonl has none; 'gestalt evaluate linear {}' adds one, with --raw-pixels or --untrained its baselines",
      of);
}

// The last result of each kind, by its name: "knn, raw pixels".
std::vector<std::pair<std::string, std::string>> last_results(const RunRecord& run) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const Json& result : run.results) {
    const std::string name = text_at(result, "evaluation") + ", " + text_at(result, "features");
    const std::string value = result_of(result).first;
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& r) { return r.first == name; });
    if (found == all.end())
      all.push_back({name, value});
    else
      found->second = value;
  }
  return all;
}

// `most` is what the lines of intervals end at.
std::vector<html::Cell> result_cells(const Json& result, double most) {
  const auto [text, interval] = result_of(result);
  html::Cell line = "-";
  if (interval)
    line = html::Cell::raw(fmt::format("{:.2f} to {:.2f} %", interval->low, interval->high) +
                           html::interval(interval->low, result["accuracy"].get<double>(), interval->high, most));
  return {text_at(result, "evaluation"), text_at(result, "features"), text, line,
          text_at(result, "data"),       text_at(result, "protocol")};
}

std::string results(const RunRecord& run) {
  if (run.results.empty()) return left_out("Evaluations", evaluate_hint(run));
  std::vector<const Json*> order;
  for (const Json& result : run.results) order.push_back(&result);
  std::stable_sort(order.begin(), order.end(),
                   [](const Json* a, const Json* b) { return text_at(*a, "evaluation") < text_at(*b, "evaluation"); });
  double most = 1;
  for (const Json* result : order)
    if (const auto interval = result_of(*result).second) most = std::max(most, interval->high);
  std::vector<std::vector<html::Cell>> rows;
  std::vector<size_t> marked;
  for (const Json* result : order) {
    if (text_at(*result, "features") == "encoder") marked.push_back(rows.size());
    rows.push_back(result_cells(*result, most));
  }
  return html::table({"evaluation", "features", "result", "95 % interval", "data", "protocol"}, rows, marked) +
         paragraph("Intervals are Wilson's for the number of test images; they say nothing of other seeds.", "dim");
}

// What differs between runs: fields, then where they stand and what they reached.
std::string comparison(const std::vector<RunRecord>& runs) {
  std::vector<std::string> head{""}, names;
  std::vector<std::vector<html::Cell>> rows;
  std::vector<std::vector<std::pair<std::string, std::string>>> reached;
  for (const RunRecord& run : runs) {
    head.push_back(run.folder);
    reached.push_back(figures(run));
    for (auto& result : last_results(run)) reached.back().push_back(std::move(result));
    for (const auto& [name, value] : reached.back())
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  for (const std::string& name : names) {
    std::vector<html::Cell>& row = rows.emplace_back(std::vector<html::Cell>{name});
    for (const auto& figures : reached) {
      const auto found = std::find_if(figures.begin(), figures.end(), [&](const auto& f) { return f.first == name; });
      row.push_back(found == figures.end() ? "-" : found->second);
    }
  }
  names.clear();
  for (const RunRecord& run : runs)
    for (const auto& [name, value] : run.config.items())
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  std::vector<std::vector<html::Cell>> differing;
  for (const std::string& name : names) {
    std::vector<html::Cell> row{name};
    std::set<std::string> seen;
    for (const RunRecord& run : runs) {
      const std::string value = run.config.contains(name) ? text_at(run.config, name.c_str()) : "-";
      seen.insert(value);
      row.push_back(value);
    }
    if (seen.size() > 1) differing.push_back(row);
  }
  const std::string reached_table = html::table(head, rows);
  if (differing.empty()) return reached_table + paragraph("Their configurations are the same.", "dim");
  head[0] = "field";
  return reached_table +
         fmt::format("<details{}><summary>Fields in which their configurations differ ({})</summary>{}</details>\n",
                     differing.size() > 12 ? "" : " open=\"open\"", differing.size(), html::table(head, differing));
}

std::string pictures(const RunRecord& run, const RunReportOptions& options, Method* trained) {
  if (!options.pictures) return left_out("Pictures", "--no-pictures was given");
  try {
    return run_pictures(run, options, trained);
  } catch (const std::exception& error) { return left_out("Pictures", error.what()); }
}

}  // namespace

void RunReportOptions::fields(Fields& f) {
  f("pictures", pictures, "views, reconstructions, neighbours, a map and confusion, which need data and encoder");
  f("images", images, "held-out images looked at for them, and five times as many that were learned from",
    between(16, 1e7));
  f("data", data, "where the data are now; empty: as the run has it");
  f("threads", threads, "of the CPU; 0: one a core", between(0, 1024));
}

std::string run_report(const std::vector<std::string>& folders, const RunReportOptions& options, Method* trained) {
  check(!folders.empty(), "[report] got no run, expected one folder or more");
  check(!trained || folders.size() == 1, "[report] got a method for {} runs, expected one", folders.size());
  check_fields(RunReportOptions(options));
  std::vector<RunRecord> runs;
  for (const std::string& folder : folders) runs.push_back(read_run_record(folder));
  const bool several = runs.size() > 1;
  std::string body;
  if (several) {
    std::vector<std::string> names(folders);
    body += html::section("Side by side", comparison(runs));
    body += html::section("Curves", html::key(names) + curves(runs));
  }
  for (const RunRecord& run : runs) {
    if (several) body += "<h2 class=\"run\">" + html::escape(run.folder) + "</h2>\n";
    body += overview(run);
    body += html::section("Warnings", warnings(run));
    body += html::section("Evaluations", results(run));
    if (!several) body += html::section("Curves", curves(runs));
    body += html::section("What it learned", pictures(run, options, trained));
    body += html::section("Time", timing(run));
    body += html::section("Configuration", configuration(run));
  }
  return html::page(several ? fmt::format("{} runs", runs.size()) : runs[0].method + ": " + runs[0].folder, body);
}

std::string write_run_report(const std::string& folder, Method& trained) {
  const RunRecord run = read_run_record(folder);
  const double images = run.metrics.last("step").value_or(0) * static_cast<double>(trained.run.batch);
  RunReportOptions options;
  options.threads = trained.run.threads;
  options.images = std::clamp<int64_t>(static_cast<int64_t>(images / 20 / 6), 16, options.images);
  const std::string file = folder + "/report.html";
  write_file_atomically(file, run_report({folder}, options, &trained));
  return file;
}

}  // namespace gestalt
