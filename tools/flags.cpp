// Flags from fields(): adding options, reading what was given, and naming what was mistyped.
#include "tools/flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/run/files.h"
#include "kernels/check.h"

namespace gestalt::tools {

void FlagFields::add(const char* name, const std::string& kind, const std::string& shown_default,
                     const std::string& help, std::function<std::string(const std::string&)> problem) {
  command_.flag({.name = name,
                 .kind = kind,
                 .shown_default = shown_default,
                 .help = help,
                 .title = title_,
                 .problem = std::move(problem)});
}

void FlagFields::operator()(const char* name, bool& value, const char* help) {
  const std::string note = fmt::format("{} (default: {})", help, value ? fmt::format("on; --no-{}", name) : "off");
  command_.switch_flag(name, note, title_);
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
  const std::string kind = choices.empty() ? "TEXT" : fmt::format("{{{}}}", fmt::join(choices, "|"));
  add(name, kind, value, help, [choices](const std::string& text) -> std::string {
    if (choices.empty() || std::find(choices.begin(), choices.end(), text) != choices.end()) return "";
    const std::string near = nearest(text, choices);
    return fmt::format("got '{}', expected one of {}{}", text, fmt::join(choices, ", "),
                       near.empty() ? "" : "; did you mean '" + near + "'?");
  });
}

GivenFields::GivenFields(Command command, const std::string& config_file, const std::string& method)
    : command_(command), file_(values_for(method, config_file, config_file.empty() ? "" : read_text(config_file))) {}

const GivenValue* GivenFields::find(const char* name) {
  const GivenValue* from_file = file_.find(name);
  const std::string negation = fmt::format("no-{}", name);
  const bool given = command_.is_given(name), negated = command_.is_given(negation);
  check(!(given && negated), "[config] got --{} and --{}, expected one of them", name, negation);
  if (negated) return &(from_flag_ = {"false", "--" + negation});
  if (!given) return from_file;
  return &(from_flag_ = {command_.given_value(name), fmt::format("--{}", name)});
}

}  // namespace gestalt::tools
