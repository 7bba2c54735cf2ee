// `gestalt list`: what can be trained, with what, on what.
#include <fmt/format.h>

#include "engine/data/images/image_set.h"
#include "engine/data/text/token_sets.h"
#include "models/encoder.h"
#include "tasks/training/method.h"
#include "tasks/training/recipe.h"
#include "tools/commands.h"

namespace gestalt::tools {
namespace {

void row(const std::string& name, const std::string& text) { fmt::print("{:<32} {}\n", name, text); }

void list_data() {
  fmt::print("images\n");
  for (const ImageSource& source : image_sources()) row(source.usage, source.help);
  fmt::print("\ntext\n");
  for (const TextSource& source : text_sources()) row(source.usage, source.help);
}

void list_methods_and_recipes() {
  for (const MethodEntry& method : list_methods()) {
    row(method.name, method.summary);
    for (const Recipe& recipe : list_recipes())
      if (recipe.method == method.name)
        row("  --preset " + recipe.name,
            fmt::format("{} (reports {}; costs {})", recipe.source, recipe.reports, recipe.costs));
  }
}

void list_models() {
  for (const EncoderEntry& encoder : list_encoders()) row(encoder.name, encoder.summary);
}

// Of each method, with its defaults, the columns of metrics.csv that tell a collapse.
void list_collapse_signs() {
  for (const MethodEntry& entry : list_methods()) {
    const std::unique_ptr<Method> method = entry.make();
    const std::vector<CollapseSign> signs = method->collapse_signs();
    fmt::print("{}{}\n", entry.name, signs.empty() ? ": its loss is not won by features that are alike" : "");
    for (const CollapseSign& sign : signs)
      row(fmt::format("  {} {} {:.4g}", sign.column, sign.side == CollapseSign::Side::above ? "above" : "below",
                      sign.limit),
          fmt::format("{}; {}", sign.means, sign.cure.empty() ? method->collapse_cure() : sign.cure));
  }
}

}  // namespace

void add_list(Command program) {
  const Command list = program.add("list", "list methods, models, sources of data or signs of a collapse");
  const Command methods = list.add("methods", "methods and their presets");
  methods.alias("tasks");
  methods.on_run(list_methods_and_recipes);
  list.add("models", "encoders").on_run(list_models);
  list.add("collapse", "what tells that a run has collapsed, and what to change then").on_run(list_collapse_signs);
  list.add("data", "what --data accepts").on_run(list_data);
}

}  // namespace gestalt::tools
