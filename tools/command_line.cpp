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
  std::function<Words(const Words&)> when_unnamed;
};

bool any(const CLI::App*) { return true; }
std::string with_dashes(const std::string& name) { return "--" + name; }

// What is wrong with the command line of `app`.
std::string explain(CLI::App& app, const CLI::ParseError& error) {
  CLI::App* command = &app;
  std::string words = app.get_name();
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    words += " " + command->get_name();
  }
  const std::string help = fmt::format("; '{} --help' lists what there is", words);
  const Words unknown = app.remaining(true);
  return unknown.empty() ? error.what() + help : unknown_word(unknown[0], Command(*command).entry(), help);
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

void Command::hide() const { app_->group(""); }
void Command::alias(const std::string& name) const { app_->alias(name); }
void Command::footer(const std::string& text) const { app_->footer(text); }
std::string Command::help() const { return app_->help(); }

Command Command::root() const {
  CLI::App* app = app_;
  while (app->get_parent()) app = app->get_parent();
  return Command(*app);
}

CommandEntry Command::entry() const {
  CommandEntry entry;
  entry.name = app_->get_name(), entry.help = app_->get_description(), entry.title = app_->get_group();
  entry.footer = app_->get_footer();
  entry.names = app_->get_aliases(), entry.names.insert(entry.names.begin(), entry.name);
  if (const auto* node = dynamic_cast<const Node*>(app_))
    entry.known_as = node->known_as, entry.when_unnamed = node->when_unnamed;
  for (const CLI::Option* option : app_->get_options()) {
    const bool by_place = option->get_positional(), takes_value = option->get_expected_max() > 0;
    (by_place ? entry.arguments : entry.flags)
        .push_back({by_place ? option->get_name(true) : option->get_lnames()[0],
                    takes_value ? option->get_type_name() : "", option->get_default_str(), option->get_description(),
                    option->get_group(), takes_value, option->get_required(), option->get_expected_max() > 1});
  }
  for (CLI::App* sub : app_->get_subcommands(any)) entry.commands.push_back(Command(*sub).entry());
  return entry;
}

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
int CommandLine::parse(Words words) {
  put_in_unnamed(root().entry(), words);
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
  Words words = CLI::detail::split_up(line);
  for (std::string& word : words) CLI::detail::remove_quotes(word);
  return parse(std::move(words));
}

}  // namespace gestalt::tools
