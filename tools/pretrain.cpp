// `gestalt pretrain`: trains an encoder without labels; one subcommand a registered method.
#include <fmt/format.h>

#include <memory>

#include "engine/run/files.h"
#include "tasks/training/image_method.h"
#include "tasks/training/recipe.h"
#include "tasks/training/run.h"
#include "tools/commands.h"
#include "tools/flags.h"
#include "tools/output.h"
#include "tools/pretrain_end.h"

namespace gestalt::tools {
namespace {

struct Choices {
  PretrainSettings settings;
  std::string preset, config;
  bool report = false, no_html = false;
};

// The method with its preset, the config file and the flags applied, in that order; or, with --resume, as it was.
std::unique_ptr<Method> configure(const MethodEntry& entry, Command command, const Choices& choices) {
  const bool anew = !command.is_given("resume");
  check(anew || !choices.settings.resume.empty(), "[resume] got an empty --resume, expected the folder of a run");
  check(anew || choices.settings.out.empty(), "[resume] goes without --out: it goes on in the folder of the run");
  check(!anew || !choices.settings.allow_other_data, "[config] got --allow-other-data, which goes with --resume");
  check(choices.settings.out.empty() != command.is_given("out"), "[config] got an empty --out");
  if (anew) {
    std::unique_ptr<Method> method = entry.make();
    if (!choices.preset.empty()) apply_recipe(*method, find_recipe(entry.name, choices.preset));
    GivenFields given(command, expand_home(choices.config), entry.name);
    method->fields(given);
    given.finish();
    return method;
  }
  std::unique_ptr<Method> method = method_of_run(expand_home(choices.settings.resume));
  check(method->name() == entry.name, "[resume] {} holds a run of {}; say 'gestalt pretrain {} --resume {}'",
        choices.settings.resume, method->name(), method->name(), choices.settings.resume);
  check(choices.preset.empty() && choices.config.empty(), "[resume] goes without --preset and --config");
  FieldNames fields;
  method->fields(fields);
  for (const std::string& name : fields.names)
    check(may_change(name) || may_be_changed(name) || (!command.is_given(name) && !command.is_given("no-" + name)),
          "[resume] got --{} with --resume, which goes on exactly as the run began{}; start a new run to change it",
          name, name == "device" ? ", and another device rounds otherwise" : "");
  check(!command.is_given("epochs") || method->run.steps == 0 || command.is_given("steps"),
        "[resume] got --epochs for a run of {} steps; say --steps", method->run.steps);
  GivenFields given(command, "");  // a place that moved, what changes no result, and what is to be otherwise
  method->fields(given);
  return method;
}

// Returns the exit status.
int run(const MethodEntry& entry, Command command, const Choices& choices) {
  const std::unique_ptr<Method> method = configure(entry, command, choices);
  check(!choices.report || dynamic_cast<ImageMethod*>(method.get()),
        "[pretrain] got --report for {}, which learns from text: it has no table of accuracies", entry.name);
  PretrainSettings settings = choices.settings;
  settings.must_measure = choices.report;
  settings.out = expand_home(settings.out);
  settings.resume = expand_home(settings.resume);
  const PretrainResult result = pretrain(*method, settings);
  if (result.interrupted) {
    fmt::print("stopped at step {}; go on with: gestalt pretrain {} --resume {}\n", result.steps, entry.name,
               result.folder);
    return result.signal > 0 ? 128 + result.signal : 0;
  }
  fmt::print("\ntrained {} steps in {:.1f} minutes\n", result.steps, result.seconds / 60);
  if (result.collapsed) fmt::print("warning: the features collapsed; {}\n", result.collapse_cure);
  const std::string unmeasured = print_measures(*method, result, choices.report);
  fmt::print("\n{}: {}\nmetrics: {}/metrics.csv\nconfiguration: {}/config.json\n",
             method->modality() == Modality::images ? "encoder" : "model", result.encoder_file, result.folder,
             result.folder);
  if (!choices.no_html) write_page(*method, result.folder);
  if (unmeasured.empty()) return 0;
  flush_output();
  fmt::print(stderr, "gestalt: warning: the run is trained and saved, but could not be measured: {}\n", unmeasured);
  return status_of_warning;
}

std::string preset_help(const MethodEntry& entry) {
  std::string text =
      "With --resume, --data, --bpe, --threads, --loader-threads, --checkpoint-minutes, --keep and --tensorboard may "
      "differ; --lr, "
      "--clip, "
      "--epochs "
      "and --steps change the run from there on, which its records say.\n\n" +
      std::string(exit_statuses) + "\n\nPresets (--preset NAME):\n";
  for (const Recipe& r : list_recipes())
    if (r.method == entry.name)
      text += fmt::format("  {}: {}; reports {}; costs {}\n", r.name, r.source, r.reports, r.costs);
  return text;
}

}  // namespace

void add_pretrain(Command program) {
  const Command pretrain = program.add("pretrain", "train an encoder without labels");
  for (const MethodEntry& entry : list_methods()) {
    const Command command = pretrain.add(entry.name, entry.summary);
    const auto choices = std::make_shared<Choices>();
    command.flag("preset", choices->preset, "start from a published recipe; flags still override it");
    command.flag("config", choices->config, "read flags from a file of 'name = value' lines or a config.json");
    command.flag("out", choices->settings.out, "run folder [runs/METHOD-DATE]");
    command.flag("resume", choices->settings.resume,
                 "go on with the run in this folder, bit for bit; --data says where its data are now");
    command.flag("allow-other-data", choices->settings.allow_other_data,
                 "with --resume: go on although the data are not what the run began with; the run records it");
    command.flag("report", choices->report,
                 "at the end, kNN and linear accuracy beside raw pixels and the untrained encoder");
    command.flag("no-html", choices->no_html, "write no report.html at the end");
    command.flag("check-finite", choices->settings.check_finite,
                 "stop at the first op that gives a NaN, and name it; slow");
    FlagFields flags(command);
    entry.make()->fields(flags);
    command.footer(preset_help(entry));
    command.on_run([&entry, command, choices] { return run(entry, command, *choices); });
  }
}

}  // namespace gestalt::tools
