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

}  // namespace

void add_list(Command program) {
  const Command list = program.add("list", "list methods, models or sources of data");
  const Command methods = list.add("methods", "methods and their presets");
  methods.alias("tasks");
  methods.on_run(list_methods_and_recipes);
  list.add("models", "encoders").on_run(list_models);
  list.add("data", "what --data accepts").on_run(list_data);
}

}  // namespace gestalt::tools
