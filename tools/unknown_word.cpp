// Guessing what was meant by a word that nothing knows.
#include "tools/unknown_word.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/run/fields.h"

namespace gestalt::tools {

std::string unknown_word(const std::string& word, const std::vector<std::string>& flags,
                         const std::vector<KnownCommand>& commands, const std::string& help) {
  const bool is_flag = word.starts_with('-');
  const std::string name = word.substr(0, word.find('='));
  std::vector<std::string> names;
  std::string meant;
  for (const KnownCommand& command : commands) {
    names.push_back(command.name);
    if (std::find(command.known_as.begin(), command.known_as.end(), word) != command.known_as.end())
      meant = command.name;
  }
  if (!is_flag && commands.empty() && word.find(':') != std::string::npos)
    return fmt::format("unknown argument '{}'; a pattern of files stands in quotes, or the shell replaces it", word);
  if (meant.empty()) meant = nearest(name, is_flag ? flags : names);
  const char* kind = is_flag ? "flag" : commands.empty() ? "argument" : "command";
  return fmt::format("unknown {} '{}'{}", kind, name, meant.empty() ? help : "; did you mean '" + meant + "'?");
}

}  // namespace gestalt::tools
