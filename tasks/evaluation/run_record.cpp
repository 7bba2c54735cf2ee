// Reading the files of a run's folder.
#include "tasks/evaluation/run_record.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/run/run_folder.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/collapse.h"
#include "tasks/training/recipe.h"
#include "tasks/training/resume.h"
#include "tasks/training/run.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;
std::string text(const Json& json) { return text_of_json(json).value_or(json.dump()); }

// Throws Error for a file that is not as a run writes it.
std::vector<Json> read_lines(const std::string& path) {
  std::vector<Json> lines;
  const std::string all = read_text(path);
  for (size_t begin = 0, end = 0; (end = all.find('\n', begin)) != all.npos; begin = end + 1)
    if (end > begin) lines.push_back(parse_json(path, std::string_view(all).substr(begin, end - begin)));
  return lines;
}

// Whether `a` was written after `b`.
bool newer(const fs::path& a, const fs::path& b) {
  std::error_code no_a, no_b;
  const auto time_a = fs::last_write_time(a, no_a), time_b = fs::last_write_time(b, no_b);
  return !no_a && (no_b || time_a > time_b);
}

// Whether a process holds the lock that RunFolder takes. Another that wants it meanwhile is not kept from it for long.
bool is_locked(const std::string& folder) {
  const int at = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (at < 0) return false;
  const bool locked = flock(at, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(at);
  return locked;
}

// The last row of metrics.csv is written when all is done: whether it has the last step that was asked for.
bool made_its_steps(const RunRecord& run) {
  const auto asked = [&](const char* name) {
    return run.config.contains(name) && run.config[name].is_number() ? run.config[name].get<double>() : 0;
  };
  const double steps = asked("steps"), epochs = asked("epochs");
  return steps > 0 ? run.metrics.last("step").value_or(0) >= steps
                   : epochs > 0 && run.metrics.last("epoch").value_or(0) >= epochs;
}

std::unique_ptr<Method> method_of(const RunRecord& run) {
  std::unique_ptr<Method> method = make_method(run.method);
  Json fields = run.config;
  fields.erase("method");
  JsonReader reader(run.folder + "/" + RunFolder::config, fields);
  method->fields(reader);
  return method;
}

}  // namespace

RunRecord read_run_record(const std::string& folder) {
  const fs::path at(folder);
  std::error_code ignored;
  const std::string config = (at / RunFolder::config).string();
  check(fs::exists(config, ignored),
        "[run] '{}' holds no run: it has no {}; name the folder that 'gestalt pretrain' gave as its run folder", folder,
        RunFolder::config);
  RunRecord run;
  run.folder = folder;
  run.config = parse_json(config, read_text(config));
  check(run.config.is_object() && run.config.contains("method") && run.config["method"].is_string(),
        "[run] '{}' names no method; it is no run's", config);
  run.method = run.config["method"].text();
  const auto reading = [&](const std::string& name, const std::function<void(const std::string&)>& read) {
    const std::string path = (at / name).string();
    if (!fs::exists(path, ignored)) return;
    try {
      read(path);
    } catch (const Error& error) { run.missing.push_back(error.what()); }
  };
  reading(RunFolder::metrics, [&](const std::string& p) {
    run.metrics = parse_number_table(p, read_text(p));
    // As runs of former programs called the headline.
    std::replace(run.metrics.columns.begin(), run.metrics.columns.end(), std::string("probe"), probe_column(run));
  });
  reading(RunFolder::timing, [&](const std::string& p) { run.timing = parse_number_table(p, read_text(p)); });
  reading("results.jsonl", [&](const std::string& p) { run.results = read_lines(p); });
  reading(RunFolder::checkpoint,
          [&](const std::string&) { run.changes = read_checkpoint_header(folder).origin.changes; });
  reading(std::string(RunFolder::best) + "/best.json",
          [&](const std::string& p) { run.best = parse_json(p, read_text(p)); });
  run.phase = is_locked(folder)                                          ? RunPhase::running
              : newer(at / RunFolder::fault, at / RunFolder::checkpoint) ? RunPhase::failed
              : made_its_steps(run)                                      ? RunPhase::finished
                                                                         : RunPhase::interrupted;
  return run;
}

const char* name(RunPhase phase) {
  static constexpr const char* names[] = {"finished", "running", "failed", "interrupted"};
  return names[static_cast<size_t>(phase)];
}

std::string probe_column(const RunRecord& run) {
  const std::unique_ptr<Method> method = make_method(run.method);
  return method->probe ? method->probe->columns().at(0) : "";
}

std::string probe_name(const RunRecord& run) {
  return make_method(run.method)->modality() == Modality::images ? "kNN accuracy, %" : "validation loss, nats a token";
}

Interval binomial_interval(double percent, int64_t count) {
  constexpr double z = 1.959963984540054;
  check(count >= 1 && percent >= 0 && percent <= 100, "[interval] got {} % of {}, expected 0 to 100 % of 1 or more",
        percent, count);
  const double n = static_cast<double>(count), p = percent / 100, whole = 1 + z * z / n;
  const double middle = p + z * z / (2 * n), half = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {100 * std::max(0.0, (middle - half) / whole), 100 * std::min(1.0, (middle + half) / whole)};
}

std::string shell_word(const std::string& text) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || std::strchr("_-./:=,+@%", c) != nullptr; };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

std::string command_of(const RunRecord& run) {
  return fmt::format("gestalt pretrain {} --config {} --out {}", run.method,
                     shell_word(run.folder + "/" + RunFolder::config), shell_word(run.folder + "-again"));
}

std::string collapse_of(const RunRecord& run) {
  const std::unique_ptr<Method> method = method_of(run);
  CollapseGuard guard;
  for (const auto& cells : run.metrics.rows) {
    MetricsRow row;
    for (size_t i = 0; i < cells.size(); ++i) row.push_back({run.metrics.columns[i], cells[i]});
    if (std::string said = guard.look_at(row, *method); !said.empty()) return said;
  }
  return {};
}

FieldComparison compare_with_preset(const RunRecord& run) {
  const auto compare = [&](Method& method, std::string beside) {
    FieldComparison comparison{std::move(beside), {}};
    const Json expected = config_of(method);
    for (const auto& [name, value] : run.config.items()) {
      if (name == "method") continue;
      const std::string other = expected.contains(name) ? text(expected[name]) : "-";
      comparison.rows.push_back({name, text(value), other, text(value) != other});
    }
    return comparison;
  };
  const auto differing = [](const FieldComparison& c) {
    return std::count_if(c.rows.begin(), c.rows.end(), [](const auto& row) { return row.differs; });
  };
  FieldComparison best = compare(*make_method(run.method), "the defaults of " + run.method);
  for (const Recipe& recipe : list_recipes()) {
    if (recipe.method != run.method) continue;
    const std::unique_ptr<Method> method = make_method(run.method);
    apply_recipe(*method, recipe);
    FieldComparison other = compare(*method, "the preset " + recipe.name);
    if (differing(other) < differing(best)) best = std::move(other);
  }
  return best;
}

}  // namespace gestalt
