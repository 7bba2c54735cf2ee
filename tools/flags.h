// Flags from fields(): --help, the command line and config files all come from the one function.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/run/fields.h"

namespace gestalt::tools {

// Adds one option to `command` for each visited field: its default in --help, its choices checked, grouped by title().
// The values are not stored: visit the same fields with GivenFields once the command line is parsed.
class FlagFields : public Fields {
 public:
  explicit FlagFields(CLI::App& command) : command_(command) {}

  void operator()(const char* name, bool& value, const char* help) override;
  void operator()(const char* name, int64_t& value, const char* help) override;
  void operator()(const char* name, double& value, const char* help) override;
  void operator()(const char* name, std::string& value, const char* help,
                  const std::vector<std::string>& choices) override;
  void title(const char* text) override { title_ = text; }

 private:
  void add(const char* name, const std::string& type, const std::string& shown_default, const char* help,
           std::function<std::string(const std::string&)> problem);

  CLI::App& command_;
  std::string title_ = "Options";
};

// Sets each visited field that the command line or, behind it, the config file gives; the others keep their values. So
// a preset, or the fields of a checkpoint, are put in place first. Visit every struct, then call finish().
class GivenFields : public Fields {
 public:
  // `config_file` holds lines `name = value` with # comments, or one JSON object such as a run's config.json; empty
  // means none. Throws Error, with file and line, for a line that is neither.
  GivenFields(const CLI::App& command, const std::string& config_file);

  void operator()(const char* name, bool& value, const char* help) override;
  void operator()(const char* name, int64_t& value, const char* help) override;
  void operator()(const char* name, double& value, const char* help) override;
  void operator()(const char* name, std::string& value, const char* help,
                  const std::vector<std::string>& choices) override;

  // Throws Error for a name in the config file that no visited struct has, with the nearest one.
  void finish() const;

 private:
  struct Given {
    std::string text, place;  // place is "runs.conf:3" or "--lr"
  };
  const Given* find(const char* name);

  const CLI::App& command_;
  std::string config_file_;
  std::map<std::string, Given> from_file_;
  Given from_flag_;
  std::vector<std::string> known_;
};

// What is wrong with the command line, with the nearest flag or command where one is unknown.
std::string explain(const CLI::App& app, const CLI::ParseError& error);

// Gives `command` the flags of each struct's fields(). When it is typed, they hold what was given and `run` gets them.
template <class Run, class... Options>
void set_command(CLI::App& command, Run run, std::shared_ptr<Options>... options) {
  FlagFields flags(command);
  (options->fields(flags), ...);
  command.callback([&command, run, options...] {
    GivenFields given(command, "");
    (options->fields(given), ...);
    run(*options...);
  });
}

}  // namespace gestalt::tools
