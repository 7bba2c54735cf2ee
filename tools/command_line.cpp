// CLI11 behind the command line: the only source that includes it.
#include "tools/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "tools/unknown_word.h"

namespace gestalt::tools {
namespace {

// What CLI11 does not keep of a command.
struct Node : CLI::App {
  Node(const std::string& help, const std::string& name, CLI::App* parent) : CLI::App(help, name, parent) {}
  std::vector<std::string> known_as;
  std::function<Command::Words(const Command::Words&)> when_unnamed;
};

// Puts in what has to stand where no command is named.
void complete(CLI::App& root, Command::Words& words) {
  CLI::App* app = &root;
  size_t at = 0;
  const auto named = [&](const CLI::App* sub) { return sub->check_name(words[at]); };
  for (std::vector<CLI::App*> next; at < words.size() && !(next = app->get_subcommands(named)).empty(); ++at)
    app = next[0];
  const auto* node = dynamic_cast<const Node*>(app);
  if (!node || !node->when_unnamed || (at < words.size() && !words[at].starts_with('-'))) return;
  const Command::Words flags(words.begin() + static_cast<std::ptrdiff_t>(at), words.end());
  const auto asks = [](const std::string& word) { return word == "-h" || word == "--help"; };
  if (std::any_of(flags.begin(), flags.end(), asks)) return;
  const Command::Words put = node->when_unnamed(flags);
  words.insert(words.begin() + static_cast<std::ptrdiff_t>(at), put.begin(), put.end());
}

std::string with_dashes(const std::string& name) { return "--" + name; }

// What is wrong with the command line of `app`.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  std::string words = app.get_name();
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    words += " " + command->get_name();
  }
  const std::string help = fmt::format("; '{} --help' lists what there is", words);
  const std::vector<std::string> unknown = app.remaining(true);
  if (unknown.empty()) return error.what() + help;
  std::vector<std::string> flags;
  std::vector<KnownCommand> commands;
  for (const CLI::Option* option : command->get_options())
    for (const std::string& name : option->get_lnames()) flags.push_back(with_dashes(name));
  for (const CLI::App* sub : command->get_subcommands([](const CLI::App*) { return true; }))
    commands.push_back({sub->get_name(), dynamic_cast<const Node&>(*sub).known_as});
  return unknown_word(unknown[0], flags, commands, help);
}

}  // namespace

Command Command::add(const std::string& name, const std::string& help) const {
  app_->require_subcommand(1);
  return Command(*app_->add_subcommand(std::make_shared<Node>(help, name, app_)));
}

void Command::known_as(const std::vector<std::string>& words) const { dynamic_cast<Node&>(*app_).known_as = words; }
void Command::when_unnamed(std::function<Words(const Words&)> words) const {
  dynamic_cast<Node&>(*app_).when_unnamed = std::move(words);
}

void Command::alias(const std::string& name) const { app_->alias(name); }
void Command::footer(const std::string& text) const { app_->footer(text); }
std::string Command::help() const { return app_->help(); }

void Command::argument(const std::string& name, std::string& value, const std::string& help) const {
  app_->add_option(name, value, help)->required();
}

void Command::arguments(const std::string& name, std::vector<std::string>& values, const std::string& help) const {
  app_->add_option(name, values, help);
}

void Command::flag(const std::string& name, std::string& value, const std::string& help) const {
  app_->add_option(with_dashes(name), value, help);
}

void Command::flag(const std::string& name, bool& value, const std::string& help) const {
  app_->add_flag(with_dashes(name), value, help);
}

void Command::flag(const ValuedFlag& flag) const {
  const auto keep = [](const CLI::results_t&) { return true; };
  CLI::Option* option = app_->add_option(with_dashes(flag.name), keep, flag.help);
  option->type_name(flag.kind)->default_str(flag.shown_default)->group(flag.title)->check(flag.problem, "");
}

void Command::switch_flag(const std::string& name, const std::string& help, const std::string& title) const {
  app_->add_flag(with_dashes(name), help)->group(title);
  app_->add_flag(with_dashes("no-" + name))->group("");
}

bool Command::is_given(const std::string& flag) const {
  const CLI::Option* option = app_->get_option_no_throw(with_dashes(flag));
  return option != nullptr && option->count() > 0;
}

std::string Command::given_value(const std::string& flag) const {
  const CLI::Option* option = app_->get_option(with_dashes(flag));
  return option->get_expected_max() == 0 ? "true" : option->results().back();
}

void Command::set_run(std::function<int()> run) const {
  app_->callback([run] {
    const int status = run();
    if (status != 0) throw CLI::RuntimeError(status);
  });
}

CommandLine::CommandLine(const std::string& name, const std::string& description, const std::string& version)
    : app_(std::make_unique<CLI::App>(description, name)) {
  if (!version.empty()) app_->set_version_flag("--version", version);
  app_->get_formatter()->column_width(36);
}
CommandLine::~CommandLine() = default;
int CommandLine::parse(std::vector<std::string> words) {
  complete(*app_, words);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app_->parse(std::move(words));
    return 0;
  } catch (const CLI::Success& request) {
    return app_->exit(request);  // --help and --version
  } catch (const CLI::RuntimeError& given) { return given.get_exit_code(); } catch (const CLI::ParseError& error) {
    throw WrongCommandLine(explain(*app_, error));
  }
}

int CommandLine::run(int argc, const char* const* argv) { return parse({argv + std::min(argc, 1), argv + argc}); }
int CommandLine::run(const std::string& line) {
  std::vector<std::string> words = CLI::detail::split_up(line);
  for (std::string& word : words) CLI::detail::remove_quotes(word);
  return parse(std::move(words));
}

}  // namespace gestalt::tools
