// `gestalt pretrain`: trains an encoder without labels; one subcommand a registered method.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "tasks/evaluation/image_probe.h"
#include "tasks/evaluation/report.h"
#include "tasks/training/recipe.h"
#include "tasks/training/run.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace gestalt::tools {
namespace {

struct Choices {
  PretrainSettings settings;
  std::string preset, config;
  bool report = false;
};

// The method with its preset, the config file and the flags applied, in that order; or, with --resume, as it was.
std::unique_ptr<Method> configure(const MethodEntry& entry, const CLI::App& command, const Choices& choices) {
  if (choices.settings.resume.empty()) {
    std::unique_ptr<Method> method = entry.make();
    if (!choices.preset.empty()) apply_recipe(*method, find_recipe(entry.name, choices.preset));
    GivenFields given(command, choices.config, entry.name);
    method->fields(given);
    given.finish();
    return method;
  }
  std::unique_ptr<Method> method = method_of_run(choices.settings.resume);
  check(method->name() == entry.name, "[resume] {} holds a run of {}; say 'gestalt pretrain {} --resume {}'",
        choices.settings.resume, method->name(), method->name(), choices.settings.resume);
  FieldNames fields;
  method->fields(fields);
  for (const std::string& name : fields.names)
    check(command.count("--" + name) == 0,
          "[resume] got --{} with --resume, which goes on exactly as the run began; start a new run to change it",
          name);
  check(choices.preset.empty() && choices.config.empty(), "[resume] goes without --preset and --config");
  return method;
}

// The closing table where one is asked for and there are labels; else what the last probe said.
void print_measures(Method& method, const PretrainResult& result, bool report) {
  auto* images = dynamic_cast<ImageMethod*>(&method);
  if (report && images && images->images().labelled()) {
    const LinearOptions linear;
    const KnnOptions knn = dynamic_cast<ImageProbe&>(*method.probe).knn;
    fmt::print("\n{}", report_text(baseline_report(*images, knn, linear), *images, knn, linear));
    return;
  }
  if (report && images) fmt::print("no report: {}\n", images->images().unmeasured);
  for (const Metric& m : result.metrics) fmt::print("{} {:.4g}: {}\n", m.name, m.value, m.protocol);
}

void run(const MethodEntry& entry, const CLI::App& command, const Choices& choices) {
  const std::unique_ptr<Method> method = configure(entry, command, choices);
  const PretrainResult result = pretrain(*method, choices.settings);
  if (result.interrupted) {
    fmt::print("stopped at step {}; go on with: gestalt pretrain {} --resume {}\n", result.steps, entry.name,
               result.folder);
    throw CLI::RuntimeError(result.signal > 0 ? 128 + result.signal : 0);
  }
  fmt::print("\ntrained {} steps in {:.1f} minutes\n", result.steps, result.seconds / 60);
  if (result.collapsed) fmt::print("warning: the features collapsed; {}\n", method->collapse_cure());
  print_measures(*method, result, choices.report);
  fmt::print("\n{}: {}\nmetrics: {}/metrics.csv\nconfiguration: {}/config.json\n",
             method->modality() == Modality::images ? "encoder" : "model", result.encoder_file, result.folder,
             result.folder);
}

std::string preset_help(const MethodEntry& entry) {
  std::string text = "Presets (--preset NAME):\n";
  for (const Recipe& r : list_recipes())
    if (r.method == entry.name)
      text += fmt::format("  {}: {}; reports {}; costs {}\n", r.name, r.source, r.reports, r.costs);
  return text;
}

}  // namespace

void add_pretrain(CLI::App& app) {
  CLI::App* pretrain = app.add_subcommand("pretrain", "train an encoder without labels")->require_subcommand(1);
  for (const MethodEntry& entry : list_methods()) {
    CLI::App* command = pretrain->add_subcommand(entry.name, entry.summary);
    const auto choices = std::make_shared<Choices>();
    command->add_option("--preset", choices->preset, "start from a published recipe; flags still override it");
    command->add_option("--config", choices->config, "read flags from a file of 'name = value' lines or a config.json");
    command->add_option("--out", choices->settings.out, "run folder [runs/METHOD-DATE]");
    command->add_option("--resume", choices->settings.resume, "go on with the run in this folder, bit for bit");
    command->add_flag("--report", choices->report,
                      "at the end, kNN and linear accuracy beside raw pixels and the untrained encoder");
    command->add_flag("--check-finite", choices->settings.check_finite,
                      "stop at the first op that gives a NaN, and name it; slow");
    FlagFields flags(*command);
    entry.make()->fields(flags);
    command->footer(preset_help(entry));
    command->callback([&entry, command, choices] { run(entry, *command, *choices); });
  }
}

}  // namespace gestalt::tools
