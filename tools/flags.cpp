// Flags from fields(): adding options, reading config files, and naming what was mistyped.
#include "tools/flags.h"

#include <charconv>
#include <cmath>
#include <sstream>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "kernels/check.h"

namespace gestalt::tools {
namespace {

// Strict: the whole text, decimal, in range.
template <class T>
bool parse(const std::string& text, T& value) {
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && std::isfinite(static_cast<double>(value));
}

bool parse(const std::string& text, bool& value) {
  value = text == "true";
  return value || text == "false";
}

template <class T>
std::string not_a(const char* kind, const std::string& text) {
  T ignored;
  return parse(text, ignored) ? "" : fmt::format("got '{}', expected {}", text, kind);
}

constexpr const char* whole_number = "a whole number";
constexpr const char* number = "a number";
constexpr const char* truth = "true or false";

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r"), end = text.find_last_not_of(" \t\r");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

// The value after '=': quoted as it stands, or up to a comment. Returns false for a broken quote.
bool read_value(const std::string& text, std::string& value) {
  if (!text.starts_with('"') && !text.starts_with('\'')) {
    value = trimmed(text.substr(0, text.find('#')));
    return !value.empty();
  }
  const size_t end = text.find(text[0], 1);
  if (end == std::string::npos) return false;
  value = text.substr(1, end - 1);
  const std::string rest = trimmed(text.substr(end + 1));
  return rest.empty() || rest.starts_with('#');
}

}  // namespace

void FlagFields::add(const char* name, const std::string& type, const std::string& shown_default, const char* help,
                     std::function<std::string(const std::string&)> problem) {
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

void FlagFields::operator()(const char* name, int64_t& value, const char* help) {
  add(name, "INT", fmt::format("{}", value), help, [](auto& text) { return not_a<int64_t>(whole_number, text); });
}

void FlagFields::operator()(const char* name, double& value, const char* help) {
  add(name, "NUMBER", fmt::format("{}", value), help, [](auto& text) { return not_a<double>(number, text); });
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

GivenFields::GivenFields(const CLI::App& command, const std::string& config_file)
    : command_(command), config_file_(config_file) {
  if (config_file.empty()) return;
  const std::string text = read_text(config_file);
  if (trimmed(text).starts_with('{')) {
    const nlohmann::ordered_json object = parse_json(config_file, text);
    check(object.is_object(), "[config] {}: got {}, expected an object", config_file, object.type_name());
    for (const auto& [name, value] : object.items())
      from_file_[name] = {value.is_string() ? value.get<std::string>() : value.dump(), config_file};
    return;
  }
  std::istringstream lines(text);
  std::string line;
  for (int i = 1; std::getline(lines, line); ++i) {
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) continue;
    const size_t equals = line.find('=');
    const std::string name = trimmed(line.substr(0, equals)), place = fmt::format("{}:{}", config_file, i);
    std::string value;
    check(equals != std::string::npos && !name.empty() && read_value(trimmed(line.substr(equals + 1)), value),
          "[config] {}: got '{}', expected a line 'name = value'", place, line);
    check(from_file_.emplace(name, Given{value, place}).second, "[config] {}: '{}' stands twice", place, name);
  }
}

const GivenFields::Given* GivenFields::find(const char* name) {
  known_.push_back(name);
  const std::string flag = fmt::format("--{}", name), negation = fmt::format("--no-{}", name);
  const CLI::Option *option = command_.get_option_no_throw(flag), *off = command_.get_option_no_throw(negation);
  const bool given = option != nullptr && option->count() > 0, negated = off != nullptr && off->count() > 0;
  check(!(given && negated), "[config] got {} and {}, expected one of them", flag, negation);
  if (given) {
    const bool is_flag = option->get_expected_max() == 0;
    from_flag_ = {is_flag ? "true" : option->results().back(), flag};
    return &from_flag_;
  }
  if (negated) return &(from_flag_ = {"false", negation});
  const auto found = from_file_.find(name);
  return found == from_file_.end() ? nullptr : &found->second;
}

void GivenFields::operator()(const char* name, bool& value, const char*) {
  const Given* given = find(name);
  if (given)
    check(parse(given->text, value), "[config] {}: got {} '{}', expected {}", given->place, name, given->text, truth);
}

void GivenFields::operator()(const char* name, int64_t& value, const char*) {
  const Given* given = find(name);
  if (given)
    check(parse(given->text, value), "[config] {}: got {} '{}', expected {}", given->place, name, given->text,
          whole_number);
}

void GivenFields::operator()(const char* name, double& value, const char*) {
  const Given* given = find(name);
  if (given)
    check(parse(given->text, value), "[config] {}: got {} '{}', expected {}", given->place, name, given->text, number);
}

void GivenFields::operator()(const char* name, std::string& value, const char*,
                             const std::vector<std::string>& choices) {
  const Given* given = find(name);
  if (!given) return;
  value = given->text;
  check_choice(fmt::format("{} ({})", name, given->place), value, choices);
}

void GivenFields::finish() const {
  for (const auto& [name, given] : from_file_)
    check(std::find(known_.begin(), known_.end(), name) != known_.end(), "[config] {}: unknown name '{}'{}",
          given.place, name, suggestion(name, known_));
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
