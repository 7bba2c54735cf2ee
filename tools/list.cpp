// `gestalt list`: what can be trained, with what, on what.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "engine/data/images/image_set.h"
#include "engine/data/text/token_sets.h"
#include "models/encoder.h"
#include "tasks/training/method.h"
#include "tasks/training/recipe.h"
#include "tools/commands.h"

namespace gestalt::tools {
namespace {

using Json = nlohmann::ordered_json;

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

std::string text(const Json& row, const char* key) { return row[key]; }

void print(const Json& rows) {
  std::string modality;
  for (const Json& row : rows) {
    if (const std::string of = row.value("modality", ""); of != modality) {
      fmt::print("{}{}\n", modality.empty() ? "" : "\n", of);
      modality = of;
    }
    fmt::print("{:<32} {}\n", text(row, "name"), text(row, "summary"));
    for (const Json& p : row.value("presets", Json::array()))
      fmt::print("{:<32} {} (reports {}; costs {})\n", "  --preset " + text(p, "name"), text(p, "source"),
                 text(p, "reports"), text(p, "costs"));
  }
}

CLI::App* add_table(CLI::App& list, const char* name, const char* help, Json (*rows)()) {
  CLI::App* command = list.add_subcommand(name, help);
  const CLI::Option* json = command->add_flag("--json")->description("as one line of JSON");
  command->callback([rows, json] {
    if (json->count() > 0)
      fmt::print("{}\n", rows().dump());
    else
      print(rows());
  });
  return command;
}

}  // namespace

void add_list(CLI::App& app) {
  CLI::App* list = app.add_subcommand("list", "list methods, models or sources of data")->require_subcommand(1);
  add_table(*list, "methods", "methods and their presets", methods)->alias("tasks");
  add_table(*list, "models", "encoders", models);
  add_table(*list, "data", "what --data accepts", data);
}

}  // namespace gestalt::tools
