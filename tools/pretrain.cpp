// `gestalt pretrain`: trains an encoder without labels; one subcommand a registered method.
#include <fmt/format.h>

#include <memory>

#include "engine/run/files.h"
#include "tasks/training/estimate.h"
#include "tasks/training/first_choice.h"
#include "tasks/training/image_method.h"
#include "tasks/training/recipe.h"
#include "tasks/training/run.h"
#include "tools/commands.h"
#include "tools/flags.h"
#include "tools/output.h"
#include "tools/pretrain_choices.h"
#include "tools/pretrain_end.h"

namespace gestalt::tools {
namespace {

void say_what_would_run(Method& method, const std::string& chosen) {
  const RunEstimate estimate = rehearse(method);
  if (!chosen.empty()) fmt::print("{}\n", chosen);
  fmt::print("{} on {}\n", method.name(), estimate.data);
  if (!estimate.problems.empty()) fmt::print("{}\n", estimate.problems);
  fmt::print("{:.2f} M parameters, {} on {}, {} step{} ({} an epoch): {}\n",
             static_cast<double>(estimate.parameters) * 1e-6, name(method.run.resolved_dtype()),
             name(method.run.resolved_device()), estimate.steps, estimate.steps == 1 ? "" : "s",
             estimate.steps_per_epoch, estimate.text());
}

// The method for flags without one: that of the run to go on with, of the preset, or the default one for the data, with
// the rest chosen too.
Words name_method(const Words& flags) {
  const auto value_of = [&](const std::string& flag) -> std::string {
    for (size_t i = 0; i < flags.size(); ++i) {
      if (flags[i] == flag && i + 1 < flags.size()) return flags[i + 1];
      if (flags[i].starts_with(flag + "=")) return flags[i].substr(flag.size() + 1);
    }
    return "";
  };
  if (const std::string run = value_of("--resume"); !run.empty()) return {method_of_run(expand_home(run))->name()};
  for (const Recipe& recipe : list_recipes())
    if (recipe.name == value_of("--preset")) return {recipe.method};
  const std::string data = value_of("--data");
  if (data.empty())
    throw WrongCommandLine(
        "got neither a method nor --data; say 'gestalt pretrain --data images:FOLDER', or name a method "
        "of 'gestalt list methods'");
  return {default_method(expand_home(data)), "--choose"};
}

// Returns the exit status.
int run(const MethodEntry& entry, Command command, const PretrainChoices& choices) {
  const auto [method, chosen] = configure(entry, command, choices);
  check(!choices.report || dynamic_cast<ImageMethod*>(method.get()),
        "[pretrain] got --report for {}, which learns from text: it has no table of accuracies", entry.name);
  if (choices.dry_run) return say_what_would_run(*method, chosen), 0;
  PretrainSettings settings = choices.settings;
  settings.chosen = chosen;
  settings.must_measure = choices.report;
  settings.out = expand_home(settings.out);
  settings.resume = expand_home(settings.resume);
  if (command.is_given("profile-steps")) settings.profile = profile_steps(choices.profile);
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
  if (result.best.step > 0)
    fmt::print("best: {:.4g} at step {} of {}, in {}/best\n", result.best.value, result.best.step, result.steps,
               result.folder);
  if (!choices.no_html) write_page(*method, result.folder);
  if (unmeasured.empty()) return 0;
  flush_output();
  note("gestalt: warning: the run is trained and saved, but could not be measured: " + unmeasured);
  return status_of_warning;
}

std::string preset_help(const MethodEntry& entry) {
  std::string text =
      "With --resume, --data, --bpe, --threads, --loader-threads, --checkpoint-minutes, --keep, --keep-best and "
      "--tensorboard may differ; --lr, "
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
  pretrain.known_as({"train", "fit", "learn"});
  pretrain.when_unnamed(name_method);
  pretrain.footer(fmt::format(
      "Without a method, {} learns from images and {} from text, and --choose is on: 'gestalt pretrain --data "
      "images:photos/'\n\n{}",
      default_image_method, default_text_method, exit_statuses));
  for (const MethodEntry& entry : list_methods()) {
    const Command command = pretrain.add(entry.name, entry.summary);
    const auto choices = std::make_shared<PretrainChoices>();
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
    command.flag("choose", choices->choose,
                 "choose what no flag says by the data and this machine: view size, encoder, batch, epochs");
    command.flag("dry-run", choices->dry_run, "say what would run, its minutes and memory by some steps, and stop");
    command.flag("check-finite", choices->settings.check_finite,
                 "stop at the first op that gives a NaN, and name it; slow");
    command.flag("profile-steps", choices->profile,
                 "A:B: steps that Nsight Systems or Compute, told to wait, looks at; on cuda alone");
    FlagFields flags(command);
    entry.make()->fields(flags);
    command.footer(preset_help(entry));
    command.on_run([&entry, command, choices] { return run(entry, command, *choices); });
  }
}

}  // namespace gestalt::tools
