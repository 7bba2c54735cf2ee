// Guessing what was meant by a word that nothing knows.
#include "tools/unknown_word.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/run/fields.h"

namespace gestalt::tools {

std::string unknown_word(const std::string& word, const CommandEntry& command, const std::string& help) {
  const bool is_flag = word.starts_with('-');
  const std::vector<CommandEntry>& commands = command.commands;
  const std::string name = word.substr(0, word.find('='));
  Words flags, names;
  std::string meant;
  for (const FlagEntry& flag : command.flags) flags.push_back("--" + flag.name);
  for (const CommandEntry& other : commands) {
    if (!other.title.empty()) names.push_back(other.name);
    if (std::find(other.known_as.begin(), other.known_as.end(), word) != other.known_as.end()) meant = other.name;
  }
  if (!is_flag && commands.empty() && word.find(':') != std::string::npos)
    return fmt::format("unknown argument '{}'; a pattern of files stands in quotes, or the shell replaces it", word);
  std::error_code ignored;
  const bool names_source = word.find(':') != std::string::npos;
  if (!is_flag && command.when_unnamed && (names_source || std::filesystem::is_directory(word, ignored)))
    return fmt::format("unknown command '{0}'; data follow a flag: --data {1}{0}", word, names_source ? "" : "images:");
  if (meant.empty()) meant = nearest(name, is_flag ? flags : names);
  const char* kind = is_flag ? "flag" : commands.empty() ? "argument" : "command";
  return fmt::format("unknown {} '{}'{}", kind, name, meant.empty() ? help : "; did you mean '" + meant + "'?");
}

}  // namespace gestalt::tools
