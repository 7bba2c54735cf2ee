// The order in which what is chosen, a preset, a config file and flags are applied.
#include "tools/pretrain_choices.h"

#include <fmt/format.h>

#include <sstream>

#include "engine/run/files.h"
#include "tasks/training/first_choice.h"
#include "tasks/training/image_method.h"
#include "tasks/training/recipe.h"
#include "tools/flags.h"
#include "tools/output.h"

namespace gestalt::tools {
namespace {

// Of a method that has flags, preset and config file.
FirstChoice choose_for(const Method& method, Command command, const DataFacts& data) {
  Learner learner{.method = method.name()};
  if (const auto* images = dynamic_cast<const ImageMethod*>(&method)) {
    learner.model = images->model.model, learner.patch = images->model.vit.patch;
    learner.model_is_given = command.is_given("model");
  }
  return choose(learner, data, look_at_machine(method.run.resolved_device(), method.run.threads));
}

DataFacts look_at_data_of(const Method& method) {
  const auto* images = dynamic_cast<const ImageMethod*>(&method);
  if (images) check_model(images->model);  // before data are read
  const DataFacts data = look_at_data(expand_home(method.run.data), images && images->unlabelled);
  const int64_t cores = look_at_machine(Device::cpu, method.run.threads).cores;
  if (const std::string text = decoding_text(data, cores); !text.empty()) note(text);
  return data;
}

// Sets the fields for which `wanted` holds. Returns them in words.
template <class Wanted>
std::string apply(const FirstChoice& choice, Method& method, Wanted wanted) {
  std::string fields, flags;
  std::istringstream lines(choice.fields);
  for (std::string line; std::getline(lines, line);) {
    const size_t equals = line.find(" = ");
    if (!wanted(line.substr(0, equals))) continue;
    fields += line + "\n";
    flags += " --" + line.replace(equals, 3, " ");
  }
  set_fields(method, "what was chosen", fields);
  return fmt::format("chosen for {}: {}{} (your flags win; --dry-run stops here)", choice.reason, method.name(), flags);
}

// Sets what `--choose` chooses and no flag says; `as_given` has the flags, a preset and a config file.
std::string apply_choice(Method& method, const Method& as_given, Command command) {
  const FirstChoice choice = choose_for(as_given, command, look_at_data_of(as_given));
  const bool length = command.is_given("epochs") || command.is_given("steps");
  return apply(choice, method, [&](const std::string& name) {
    const bool of_length = name == "epochs" || name == "steps" || name == "probe-every";
    return !command.is_given(name) && !(length && of_length);
  });
}

// Without --choose, sets what would not do for files of images: the data's own size where they have several, and a
// batch larger than the data. Returns what was chosen, in words, or nothing.
std::string mend_choice(Method& method, Command command) {
  const auto* images = dynamic_cast<const ImageMethod*>(&method);
  if (!images || !names_image_files(method.run.data)) return "";
  const bool own_size = images->image_size == 0, own_batch = !command.is_given("batch");
  if (!own_size && !own_batch) return "";
  const DataFacts data = look_at_data_of(method);
  const bool size = own_size && !data.one_size, batch = own_batch && data.images < method.run.batch;
  if ((!size && !batch) || data.images < 2) return "";
  return apply(choose_for(method, command, data), method,
               [&](const std::string& name) { return (size && name == "size") || (batch && name == "batch"); });
}

// With its preset, the config file and the flags.
void apply_given(Method& method, Command command, const PretrainChoices& choices) {
  if (!choices.preset.empty()) apply_recipe(method, find_recipe(method.name(), choices.preset));
  GivenFields given(command, expand_home(choices.config), method.name());
  method.fields(given);
  given.finish();
}

}  // namespace

ChosenMethod configure(const MethodEntry& entry, Command command, const PretrainChoices& choices) {
  const bool anew = !command.is_given("resume");
  check(anew || !choices.settings.resume.empty(), "[resume] got an empty --resume, expected the folder of a run");
  check(anew || choices.settings.out.empty(), "[resume] goes without --out: it goes on in the folder of the run");
  check(anew || (!choices.choose && !choices.dry_run), "[resume] goes without --choose and --dry-run");
  check(!anew || !choices.settings.allow_other_data, "[config] got --allow-other-data, which goes with --resume");
  check(choices.settings.out.empty() != command.is_given("out"), "[config] got an empty --out");
  if (anew) {
    std::unique_ptr<Method> method = entry.make();
    apply_given(*method, command, choices);
    if (!choices.choose) {
      const std::string mended = mend_choice(*method, command);
      return {std::move(method), mended};
    }
    const std::unique_ptr<Method> as_given = std::move(method);
    method = entry.make();
    const std::string chosen = apply_choice(*method, *as_given, command);
    apply_given(*method, command, choices);
    return {std::move(method), chosen};
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
  return {std::move(method), ""};
}

}  // namespace gestalt::tools
