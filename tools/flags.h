// Flags from fields(): --help, the command line and config files all come from the one function.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/run/fields_text.h"
#include "tools/command_line.h"

namespace gestalt::tools {

// Adds one option to `command` for each visited field: its default in --help, its choices checked, grouped by title().
// The values are not stored: visit the same fields with GivenFields once the command line is parsed.
class FlagFields : public Fields {
 public:
  explicit FlagFields(Command command) : command_(command) {}

  void operator()(const char* name, bool& value, const char* help) override;
  void operator()(const char* name, int64_t& value, const char* help, const Bounds& bounds) override;
  void operator()(const char* name, double& value, const char* help, const Bounds& bounds) override;
  void operator()(const char* name, std::string& value, const char* help,
                  const std::vector<std::string>& choices) override;
  void title(const char* text) override { title_ = text; }

 private:
  void add(const char* name, const std::string& kind, const std::string& shown_default, const std::string& help,
           std::function<std::string(const std::string&)> problem);

  Command command_;
  std::string title_ = "Options";
};

// Sets each visited field that the command line or, behind it, the config file gives; the others keep their values. So
// a recipe, or the fields of a checkpoint, are put in place first. Visit every struct, then call finish().
class GivenFields : public FieldSetter {
 public:
  // `config_file` is read by parse_values(); empty means none. A line `method = …` in it has to name `method`.
  GivenFields(Command command, const std::string& config_file, const std::string& method = {});

  // Throws Error for a name in the config file that no visited struct has, with the nearest one.
  void finish() const { file_.finish(); }

 protected:
  const GivenValue* find(const char* name) override;

 private:
  // The config file's values alone.
  struct File : TextReader {
    using TextReader::find;
    using TextReader::TextReader;
  };

  Command command_;
  File file_;
  GivenValue from_flag_;
};

// Gives `command` the flags of each struct's fields(). When it is typed, they hold what was given and `run`
// gets them; it returns nothing, or an exit status.
template <class Run, class... Options>
void set_command(Command command, Run run, std::shared_ptr<Options>... options) {
  FlagFields flags(command);
  (options->fields(flags), ...);
  command.on_run([command, run, options...] {
    GivenFields given(command, "");
    (options->fields(given), ...);
    return run(*options...);
  });
}

}  // namespace gestalt::tools
