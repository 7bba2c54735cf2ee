// Commands, their flags and arguments, and what runs when one is typed. CLI11 stands behind this in one source: a file
// that includes it takes five seconds more to compile.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/check.h"
#include "tools/command_tree.h"

namespace CLI {
class App;
}

namespace gestalt::tools {

// A command line that cannot be understood, with the nearest flag or command where one is unknown.
class WrongCommandLine : public Error {
 public:
  using Error::Error;
};

// A flag that takes a value, as --help shows it.
struct ValuedFlag {
  std::string name;  // without its dashes
  std::string kind, shown_default;
  std::string help, title;  // the title of the group that it stands in
  // What is wrong with a value; "" where it is right.
  std::function<std::string(const std::string&)> problem;
};

// A command of a CommandLine, which outlives it: a handle, as cheap to copy as a pointer.
class Command {
 public:
  explicit Command(CLI::App& app) : app_(&app) {}

  // A command under this one, which then needs one of those under it to be typed.
  Command add(const std::string& name, const std::string& help) const;
  void alias(const std::string& name) const;
  // Words that others call it by, which are no names of it: for "did you mean".
  void known_as(const std::vector<std::string>& words) const;
  // Where none of the commands under this one is named, `words` gives what has to stand before the flags that follow.
  void when_unnamed(std::function<Words(const Words& flags)> words) const;
  // Leaves it out of --help and of what is completed.
  void hide() const;
  // Stands at the end of --help.
  void footer(const std::string& text) const;
  std::string help() const;
  // The program's own command, which all others stand under.
  Command root() const;
  // This command and all under it.
  CommandEntry entry() const;

  // What has to be given by its place on the line, and what may follow it, any number of them.
  void argument(const std::string& name, std::string& value, const std::string& help) const;
  void arguments(const std::string& name, std::vector<std::string>& values, const std::string& help) const;

  // Flags by their names without dashes. Those of an options struct with fields() come from FlagFields.
  void flag(const std::string& name, std::string& value, const std::string& help) const;
  void flag(const std::string& name, bool& value, const std::string& help) const;
  void flag(const ValuedFlag& flag) const;
  // --NAME and --no-NAME.
  void switch_flag(const std::string& name, const std::string& help, const std::string& title) const;

  bool is_given(const std::string& flag) const;
  // The value that is given to a flag that takes one, "true" for one that takes none.
  std::string given_value(const std::string& flag) const;

  // What runs when the command is typed: it returns nothing, or an exit status.
  template <class Run>
  void on_run(Run run) const {
    if constexpr (std::is_void_v<std::invoke_result_t<Run>>)
      set_run([run] { return run(), 0; });
    else
      set_run(run);
  }

 private:
  void set_run(std::function<int()> run) const;

  CLI::App* app_;
};

// The program's command line.
class CommandLine {
 public:
  CommandLine(const std::string& name, const std::string& description, const std::string& version = "");
  ~CommandLine();

  Command root() const { return Command(*app_); }

  // Runs the command that is typed, or prints the help or the version that is asked for. Returns the exit status.
  // Throws WrongCommandLine, and whatever the command throws.
  int run(int argc, const char* const* argv);
  int run(const std::string& line);

 private:
  int parse(Words words);

  std::unique_ptr<CLI::App> app_;
};

}  // namespace gestalt::tools
