// `gestalt list`: what can be trained, with what, on what.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "engine/data/images/image_set.h"
#include "models/encoder.h"
#include "tasks/gpt.h"
#include "tools/commands.h"

namespace gestalt::tools {
namespace {

void row(const std::string& name, const std::string& text) { fmt::print("{:<32} {}\n", name, text); }

void list_data() {
  fmt::print("images\n");
  for (const ImageSource& source : image_sources()) row(source.usage, source.help);
  fmt::print("\ntext, for gpt\n");
  for (const TextSource& source : text_sources()) row(source.usage, source.help);
}

void list_tasks_and_presets() {
  for (const TaskEntry& task : list_tasks()) {
    row(task.name, task.summary);
    for (const Preset& preset : task.presets) row("  --preset " + preset.name, preset.summary);
  }
}

void list_models() {
  for (const EncoderEntry& encoder : list_encoders()) row(encoder.name, encoder.summary);
}

}  // namespace

void add_list(CLI::App& app) {
  CLI::App* list = app.add_subcommand("list", "list methods, models or sources of data")->require_subcommand(1);
  list->add_subcommand("tasks", "methods and their presets")->callback(list_tasks_and_presets);
  list->add_subcommand("models", "encoders")->callback(list_models);
  list->add_subcommand("data", "what --data accepts")->callback(list_data);
}

}  // namespace gestalt::tools
