// `gestalt list`: what can be trained, with what, on what.
#include <fmt/format.h>

#include <memory>

#include "engine/data/images/image_set.h"
#include "engine/data/text/token_sets.h"
#include "engine/run/json.h"
#include "models/encoder.h"
#include "tasks/training/method.h"
#include "tasks/training/recipe.h"
#include "tools/commands.h"
#include "tools/output.h"

namespace gestalt::tools {
namespace {

Json data() {
  Json rows = Json::array();
  for (const ImageSource& source : image_sources())
    rows.push_back({{"modality", "images"}, {"name", source.usage}, {"summary", source.help}});
  for (const TextSource& source : text_sources())
    rows.push_back({{"modality", "text"}, {"name", source.usage}, {"summary", source.help}});
  return rows;
}

Json methods() {
  Json rows = Json::array();
  for (const MethodEntry& method : list_methods()) {
    Json presets = Json::array();
    for (const Recipe& r : list_recipes())
      if (r.method == method.name)
        presets.push_back({{"name", r.name}, {"source", r.source}, {"reports", r.reports}, {"costs", r.costs}});
    rows.push_back({{"name", method.name}, {"summary", method.summary}, {"presets", presets}});
  }
  return rows;
}

Json models() {
  Json rows = Json::array();
  for (const EncoderEntry& encoder : list_encoders())
    rows.push_back({{"name", encoder.name}, {"summary", encoder.summary}});
  return rows;
}

// Of each method, with its defaults, the columns of metrics.csv that tell a collapse.
Json collapse_signs() {
  Json rows = Json::array();
  for (const MethodEntry& entry : list_methods()) {
    const std::unique_ptr<Method> method = entry.make();
    Json signs = Json::array();
    for (const CollapseSign& sign : method->collapse_signs())
      signs.push_back({{"column", sign.column},
                       {"side", sign.side == CollapseSign::Side::above ? "above" : "below"},
                       {"limit", sign.limit},
                       {"means", sign.means},
                       {"cure", sign.cure.empty() ? method->collapse_cure() : sign.cure}});
    rows.push_back({{"name", entry.name},
                    {"summary", signs.empty() ? "its loss is not won by features that are alike" : ""},
                    {"signs", signs}});
  }
  return rows;
}

std::string text(const Json& row, const char* key) { return row[key].text(); }

void print(const Json& rows) {
  std::string modality;
  const auto line = [columns = terminal_columns()](const std::string& name, const std::string& of_it) {
    fmt::print("{}\n", beside(name, of_it, 33, columns));
  };
  for (const Json& row : rows) {
    if (const std::string of = row.value("modality", std::string()); of != modality) {
      fmt::print("{}{}\n", modality.empty() ? "" : "\n", of);
      modality = of;
    }
    line(text(row, "name"), text(row, "summary"));
    for (const Json& p : row.value("presets", Json::array()))
      line("  --preset " + text(p, "name"),
           fmt::format("{} (reports {}; costs {})", text(p, "source"), text(p, "reports"), text(p, "costs")));
    for (const Json& s : row.value("signs", Json::array()))
      line(fmt::format("  {} {} {:.4g}", text(s, "column"), text(s, "side"), s["limit"].get<double>()),
           text(s, "means") + "; " + text(s, "cure"));
  }
}

// A command that prints `rows`, as JSON where that is asked for.
Command add_table(Command list, const char* name, const char* help, Json (*rows)()) {
  const Command command = list.add(name, help);
  const auto json = std::make_shared<bool>(false);
  command.flag("json", *json, "as one line of JSON");
  command.on_run([rows, json] {
    if (*json)
      fmt::print("{}\n", rows().dump());
    else
      print(rows());
  });
  return command;
}

}  // namespace

void add_list(Command program) {
  const Command list =
      program.add("list", "list methods, models, sources of data, signs of a collapse; completion, manual page");
  add_table(list, "methods", "methods and their presets", methods).alias("tasks");
  add_table(list, "models", "encoders", models);
  add_table(list, "collapse", "what tells that a run has collapsed, and what to change then", collapse_signs);
  add_table(list, "data", "what --data accepts", data);
  add_completion(list);
  add_manual(list);
}

}  // namespace gestalt::tools
