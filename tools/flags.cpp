// Flags from fields(): adding options, reading what was given, and naming what was mistyped.
#include "tools/flags.h"

#include <cmath>

#include "engine/run/files.h"
#include "kernels/check.h"

namespace gestalt::tools {

void FlagFields::add(const char* name, const std::string& type, const std::string& shown_default,
                     const std::string& help, std::function<std::string(const std::string&)> problem) {
  const std::string flag = fmt::format("--{}", name);
  CLI::Option* option = command_.add_option(
      flag, [](const CLI::results_t&) { return true; }, help);
  option->type_name(type)->default_str(shown_default)->group(title_);
  option->check(std::move(problem), "");
}

void FlagFields::operator()(const char* name, bool& value, const char* help) {
  const std::string note = fmt::format("{} (default: {})", help, value ? fmt::format("on; --no-{}", name) : "off");
  command_.add_flag(fmt::format("--{}", name), note)->group(title_);
  command_.add_flag(fmt::format("--no-{}", name))->group("");
}

// The help with the bounds that a reader would not guess.
static std::string with_bounds(const char* help, const Bounds& bounds) {
  const bool plain = bounds.low == 0 && bounds.with_low && bounds.high > 1, limit_only = bounds.high > 1000;
  return plain || (limit_only && bounds.low > 0 && bounds.with_low) || std::isinf(bounds.low)
             ? help
             : fmt::format("{} ({})", help, bounds.text());
}

void FlagFields::operator()(const char* name, int64_t& value, const char* help, const Bounds& bounds) {
  add(name, "INT", fmt::format("{}", value), with_bounds(help, bounds),
      [bounds](const std::string& text) { return problem_with(text, int64_t{}, bounds); });
}

void FlagFields::operator()(const char* name, double& value, const char* help, const Bounds& bounds) {
  add(name, "NUMBER", fmt::format("{}", value), with_bounds(help, bounds),
      [bounds](const std::string& text) { return problem_with(text, double{}, bounds); });
}

void FlagFields::operator()(const char* name, std::string& value, const char* help,
                            const std::vector<std::string>& choices) {
  const std::string kind = choices.empty() ? "TEXT" : "{" + CLI::detail::join(choices, "|") + "}";
  add(name, kind, value, help, [choices](const std::string& text) -> std::string {
    if (choices.empty() || std::find(choices.begin(), choices.end(), text) != choices.end()) return "";
    const std::string near = nearest(text, choices);
    return fmt::format("got '{}', expected one of {}{}", text, CLI::detail::join(choices, ", "),
                       near.empty() ? "" : "; did you mean '" + near + "'?");
  });
}

GivenFields::GivenFields(const CLI::App& command, const std::string& config_file, const std::string& method)
    : command_(command), file_(values_for(method, config_file, config_file.empty() ? "" : read_text(config_file))) {}

const GivenValue* GivenFields::find(const char* name) {
  const GivenValue* from_file = file_.find(name);
  const std::string flag = fmt::format("--{}", name), negation = fmt::format("--no-{}", name);
  const CLI::Option *option = command_.get_option_no_throw(flag), *off = command_.get_option_no_throw(negation);
  const bool given = option != nullptr && option->count() > 0, negated = off != nullptr && off->count() > 0;
  check(!(given && negated), "[config] got {} and {}, expected one of them", flag, negation);
  if (negated) return &(from_flag_ = {"false", negation});
  if (!given) return from_file;
  const bool is_flag = option->get_expected_max() == 0;
  return &(from_flag_ = {is_flag ? "true" : option->results().back(), flag});
}

std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  std::string words = app.get_name();
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    words += " " + command->get_name();
  }
  const std::string help = fmt::format("; '{} --help' lists what there is", words);
  std::vector<std::string> unknown = app.remaining(true), flags, commands;
  for (const CLI::Option* option : command->get_options())
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  for (const CLI::App* sub : command->get_subcommands([](const CLI::App*) { return true; }))
    commands.push_back(sub->get_name());
  if (unknown.empty()) return error.what() + help;
  const bool is_flag = unknown[0].starts_with('-');
  const std::string word = unknown[0].substr(0, unknown[0].find('='));
  const std::string near = nearest(word, is_flag ? flags : commands);
  const char* kind = is_flag ? "flag" : commands.empty() ? "argument" : "command";
  return fmt::format("unknown {} '{}'{}", kind, word, near.empty() ? help : "; did you mean '" + near + "'?");
}

}  // namespace gestalt::tools
